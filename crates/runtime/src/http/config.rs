//! Where an API listens, and with which certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::certificate::Certificate;
use super::server::{self, DRAIN_MAX, Listener};
use crate::config::ProcessConfig;
use crate::tls;

/// Where an API listens.
#[derive(Clone, Debug, clap::Args)]
pub struct HttpConfig {
    /// Address of the API.
    #[arg(long, env = "HTTP_ADDR")]
    pub http_addr: SocketAddr,

    /// PEM file with the API's certificate, and behind it those that lead to its authority. With it the API speaks TLS and nothing else.
    /// It is read again for each connection: a renewed one needs no restart. Without it, an address that is not loopback is warned of at
    /// start.
    #[arg(long, env = "HTTP_CERT_FILE", value_parser = tls::certificates, requires = "http_key_file")]
    pub http_cert_file: Option<PathBuf>,

    /// PEM file with the private key of that certificate.
    #[arg(long, env = "HTTP_KEY_FILE", value_parser = tls::private_key, requires = "http_cert_file")]
    pub http_key_file: Option<PathBuf>,
}

impl HttpConfig {
    /// Refuses what a process with an API can't run with: `work_time_max` is the longest that its other work takes which a stop
    /// does not interrupt.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn check(&self, process: &ProcessConfig, work_time_max: Duration) -> Result<(), String> {
        self.certificate()?;
        let ProcessConfig { admin_addr, shutdown_grace, .. } = *process;
        if self.http_addr == admin_addr && admin_addr.port() != 0 {
            return Err("HTTP_ADDR and ADMIN_ADDR must differ: the admin port is not for the public".to_owned());
        }
        let work_time_max = DRAIN_MAX.max(work_time_max);
        if shutdown_grace <= work_time_max {
            return Err(format!(
                "SHUTDOWN_GRACE {shutdown_grace:?} is too short: work that can't be interrupted may take {work_time_max:?}"
            ));
        }
        Ok(())
    }

    /// The certificate of the API; none if it speaks plain HTTP.
    ///
    /// # Errors
    /// Why the files can't be used; nothing of what is in them.
    pub fn certificate(&self) -> Result<Option<Certificate>, String> {
        let (Some(certificate), Some(key)) = (&self.http_cert_file, &self.http_key_file) else { return Ok(None) };
        let opened = Certificate::open(certificate, key);
        opened.map(Some).map_err(|reason| format!("HTTP_CERT_FILE and HTTP_KEY_FILE: {reason}"))
    }

    /// Takes the port, and says so if what is asked and answered there can be read on its way.
    ///
    /// # Errors
    /// If the address can't be bound or the files can't be used.
    pub async fn bind(&self) -> anyhow::Result<Listener> {
        let certificate = self.certificate().map_err(anyhow::Error::msg)?;
        if certificate.is_none() && !self.http_addr.ip().is_loopback() {
            tracing::warn!(http = %self.http_addr, "the API is not encrypted; HTTP_CERT_FILE and HTTP_KEY_FILE would encrypt it");
        }
        Ok(Listener { tcp: server::bind(self.http_addr).await?, certificate })
    }
}
