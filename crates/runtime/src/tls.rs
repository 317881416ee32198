//! Files of TLS: read when settings are checked, so that a missing one ends the process at its start. And which servers may
//! be spoken to without TLS.
//!
//! Who connects to MySQL or NATS reads them again for each connection, and so does an API: a renewed certificate needs no restart.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use async_nats::rustls::crypto::ring::default_provider;
use async_nats::rustls::crypto::ring::sign::any_supported_type;
use async_nats::rustls::pki_types::pem::{self, PemObject};
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore};

/// Path of a file with certificates in PEM; clap's `value_parser`.
///
/// # Errors
/// Why it can't be used.
pub fn certificates(path: &str) -> Result<PathBuf, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| describe(&error, "certificate"))?;
    if found.is_empty() {
        return Err(lacks("certificate"));
    }
    for certificate in found {
        RootCertStore::empty().add(certificate).map_err(|_| lacks("certificate"))?;
    }
    Ok(path.into())
}

/// Path of a file with a private key in PEM; clap's `value_parser`.
///
/// # Errors
/// Why it can't be used; nothing of what is in it.
pub fn private_key(path: &str) -> Result<PathBuf, String> {
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| describe(&error, "private key"))?;
    any_supported_type(&key).map_err(|_| lacks("private key"))?;
    Ok(path.into())
}

/// How a client of HTTP speaks TLS: it trusts the authorities in a file, or else the system's.
///
/// # Errors
/// If the file can't be used.
pub fn client(authorities: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).with_context(|| path.display().to_string())? {
                roots.add(certificate.with_context(|| path.display().to_string())?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether what is said to a host stays on this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// What is wrong with a file: the library's own words for a broken one quote its bytes.
pub(crate) fn describe(error: &pem::Error, wanted: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        _ => lacks(wanted),
    }
}

pub(crate) fn lacks(wanted: &str) -> String {
    format!("holds no sound {wanted} in PEM")
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.8.9.1", "::1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["db", "localhost.example.com", "10.0.0.1", "0.0.0.0", "[2001:db8::1]", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
