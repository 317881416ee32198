//! SMTP_URL: which server, how to it, and as whom.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use percent_encoding::percent_decode_str;
use runtime::config::Secret;
use runtime::tls;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    Never,
    /// After STARTTLS, if the server offers it.
    IfOffered,
    /// After STARTTLS, or nothing is sent.
    Required,
    /// From the first byte.
    FromTheStart,
}

/// What SMTP_URL says.
#[derive(Clone)]
pub(crate) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    /// User and password.
    pub(super) login: Option<(String, Secret)>,
}

impl Server {
    /// Understands the URL, or says how it must look, without repeating the secret.
    pub(crate) fn parse(url: &Secret) -> Result<Self, String> {
        let look = "SMTP_URL must look like smtp://HOST:PORT, smtp://USER:PASSWORD@HOST:587?tls=required or \
                    smtps://USER:PASSWORD@HOST";
        Self::read(url.expose()).ok_or_else(|| look.to_owned())
    }

    fn read(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let tls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
        let (encryption, port) = match (url.scheme(), tls.as_deref()) {
            ("smtp", None) => (Encryption::Never, 25),
            ("smtp", Some("opportunistic")) => (Encryption::IfOffered, 587),
            ("smtp", Some("required")) => (Encryption::Required, 587),
            ("smtps", _) => (Encryption::FromTheStart, 465),
            _ => return None,
        };
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        let decoded = |text| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        let login = match url.password() {
            Some(password) => Some((decoded(url.username())?, Secret::from(decoded(password)?))),
            None => None,
        };
        Some(Self { host, port: url.port().unwrap_or(port), encryption, login })
    }

    /// Whether nothing is said to a server that does not encrypt.
    pub(crate) fn insists_on_tls(&self) -> bool {
        matches!(self.encryption, Encryption::Required | Encryption::FromTheStart)
    }

    /// The name that its certificate must have.
    pub(super) fn name(&self) -> anyhow::Result<ServerName<'static>> {
        let host = self.host.trim_matches(['[', ']']).to_owned();
        ServerName::try_from(host).context("the host in SMTP_URL is no name that a certificate can have")
    }
}

/// Whom we trust: the authorities in a file, or the system's.
pub(super) fn trust(ca_file: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    Ok(Arc::new(tls::client(ca_file).context("SMTP_CA_FILE")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<(String, u16, Encryption, Option<String>)> {
        let server = Server::read(url)?;
        let login = server.login.map(|(user, password)| format!("{user} {}", password.expose()));
        Some((server.host, server.port, server.encryption, login))
    }

    #[test]
    fn each_kind_of_url_has_its_port_and_its_encryption() {
        let host = || "h".to_owned();
        assert_eq!(read("smtp://h"), Some((host(), 25, Encryption::Never, None)));
        assert_eq!(read("smtp://h?tls=opportunistic"), Some((host(), 587, Encryption::IfOffered, None)));
        let login = Some("a@b p:/%".to_owned());
        assert_eq!(
            read("smtp://a%40b:p%3A%2F%25@h:2525?tls=required"),
            Some((host(), 2525, Encryption::Required, login))
        );
        assert_eq!(read("smtps://h"), Some((host(), 465, Encryption::FromTheStart, None)));
        for malformed in ["smtp://", "http://h", "smtp://h?tls=yes", "h:25", "smtp://u:%ff@h"] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }
}
