//! The certificate of a server, which may be renewed while it runs.
//!
//! Guarantees that a connection is offered the pair that the files hold when it begins, or the last good pair if that one can't be used.
//! A bad pair is logged once. While only one of the two files is renewed the pair is bad; the next connection reads both again.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::rustls::crypto::ring::default_provider;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{Error, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::tls::{describe, lacks};

/// A certificate and its key, in files. A handle: clone it.
#[derive(Clone)]
pub struct Certificate(Arc<Files>);

struct Files {
    paths: [PathBuf; 2],
    last: Mutex<Last>,
}

struct Last {
    /// What was found when the files were read last, or why they could not be.
    found: Result<[Vec<u8>; 2], String>,
    usable: Arc<ServerConfig>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// Why they can't be used; nothing of what is in them.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, String> {
        let paths = [certificate.to_owned(), key.to_owned()];
        let found = read(&paths);
        let usable = found.as_ref().map_err(Clone::clone).and_then(parse)?;
        Ok(Self(Arc::new(Files { paths, last: Mutex::new(Last { found, usable }) })))
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        // What is under the lock is whole between any two statements.
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read(&self.0.paths);
        if found != last.found {
            match found.as_ref().map_err(Clone::clone).and_then(parse) {
                Ok(usable) => {
                    tracing::info!(file = %self.0.paths[0].display(), "going on with the renewed certificate");
                    last.usable = usable;
                }
                Err(reason) => {
                    tracing::error!(reason, "the renewed certificate can't be used, going on with the one before");
                }
            }
            last.found = found;
        }
        Arc::clone(&last.usable).into()
    }
}

fn read(paths: &[PathBuf; 2]) -> Result<[Vec<u8>; 2], String> {
    let [certificate, key] = paths;
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
    Ok([read(certificate)?, read(key)?])
}

fn parse([certificate, key]: &[Vec<u8>; 2]) -> Result<Arc<ServerConfig>, String> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| describe(&error, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| describe(&error, "private key"))?;
    let builder =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        Error::InconsistentKeys(_) => "the key is not the certificate's".to_owned(),
        _ => lacks("certificate"),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.0.paths[0]).finish()
    }
}
