//! The gateway with a certificate: Mozilla's intermediate settings, as a client meets them.

use std::fs;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::Setup;

/// A gateway with a certificate for `shop.example`.
async fn start() -> (Setup, CertificateDer<'static>, TempDir) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    fs::write(&certificate, cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    (Setup::start_with(Some((certificate, key))).await, cert.der().clone(), folder)
}

async fn get(setup: &Setup, trusted: &CertificateDer<'static>, version: &'static SupportedProtocolVersion) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", setup.gateway.number())).await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(b"GET /api/orders HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn with_a_certificate_it_speaks_tls_1_2_and_1_3_and_says_so_to_services() {
    let (setup, trusted, _folder) = start().await;
    for version in [&TLS12, &TLS13] {
        let answer = get(&setup, &trusted, version).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("Strict-Transport-Security: max-age=63072000\r\n"), "{answer}");
        assert!(setup.last_head().contains("x-forwarded-proto: https\r\n"));
    }
}

#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_refused() {
    let (setup, _trusted, _folder) = start().await;
    let (status, text) = setup.get("/api/orders").await;
    assert_eq!(status, 400);
    assert!(text.contains("application/problem+json"), "{text}");
    assert!(setup.seen().is_empty());
}
