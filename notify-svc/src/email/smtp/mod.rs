//! Emails to an SMTP server, over connections that are kept.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::response::Code;
use lettre::transport::smtp::{AsyncSmtpTransportBuilder, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use runtime::config::Secret;
use url::Url;

use super::{SEND_TIME_MAX, SendError};

const CONNECTIONS_MAX: u32 = 8;
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(30);

/// What SMTP_URL says.
#[derive(Debug)]
pub(super) struct Server {
    host: String,
    /// How TLS is begun; none if it is not.
    tls: Option<fn(TlsParameters) -> Tls>,
    insists_on_tls: bool,
    builder: AsyncSmtpTransportBuilder,
}

impl Server {
    /// Understands the URL, or says how it must look, without repeating the secret.
    pub(super) fn parse(url: &Secret) -> Result<Self, String> {
        let look = "SMTP_URL must look like smtp://HOST:PORT, smtp://USER:PASSWORD@HOST:587?tls=required or \
                    smtps://USER:PASSWORD@HOST";
        Self::read(url.expose()).ok_or_else(|| look.to_owned())
    }

    fn read(url: &str) -> Option<Self> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).ok()?;
        let url = Url::parse(url).ok()?;
        let wish = url.query_pairs().find(|(name, _)| name == "tls");
        let wish = (url.scheme(), wish.as_ref().map(|(_, value)| value.as_ref()));
        let tls: Option<fn(TlsParameters) -> Tls> = match wish {
            ("smtps", _) => Some(Tls::Wrapper),
            (_, Some("required")) => Some(Tls::Required),
            (_, Some("opportunistic")) => Some(Tls::Opportunistic),
            _ => None,
        };
        let insists_on_tls = matches!(wish, ("smtps", _) | (_, Some("required")));
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        Some(Self { host, tls, insists_on_tls, builder })
    }

    /// Whether nothing is said to a server that does not encrypt.
    pub(super) fn insists_on_tls(&self) -> bool {
        self.insists_on_tls
    }
}

/// A client of one SMTP server.
#[derive(Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Smtp {
    /// Connects when first used.
    ///
    /// # Errors
    /// If `ca_file` can't be read any more; the settings have looked into it.
    pub(super) fn new(Server { host, tls, mut builder, .. }: Server, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        if let (Some(tls), Some(path)) = (tls, ca_file) {
            let parameters = trusting_only(host, path);
            builder = builder.tls(tls(parameters.with_context(|| format!("SMTP_CA_FILE {}", path.display()))?));
        }
        let transport = builder
            .timeout(Some(SEND_TIME_MAX))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX).idle_timeout(CONNECTION_IDLE_MAX))
            .build();
        Ok(Self { transport })
    }

    pub(super) async fn send(&self, message: Message) -> Result<(), SendError> {
        // lettre refuses such an address itself when the server does not know SMTPUTF8.
        let needs_utf8 = !message.envelope().to().iter().all(|address| address.to_string().is_ascii());
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.status().is_some_and(is_about_the_email) => {
                let is_permanent = error.is_permanent();
                let error = error.into();
                Err(if is_permanent { SendError::Rejected(error) } else { SendError::Refused(error) })
            }
            Err(error) if error.is_client() && needs_utf8 => Err(SendError::Refused(error.into())),
            Err(error) => Err(SendError::Unreachable(error.into())),
        }
    }
}

fn trusting_only(host: String, path: &Path) -> anyhow::Result<TlsParameters> {
    let parameters = TlsParameters::builder(host).certificate_store(CertificateStore::None);
    Ok(parameters.add_root_certificate(Certificate::from_pem(&std::fs::read(path)?)?).build()?)
}

/// Whether a reply speaks about this email, and not about the server (421) or our credentials (454, 530 to 538).
fn is_about_the_email(code: Code) -> bool {
    !matches!(u16::from(code), 421 | 454 | 530..=538)
}
