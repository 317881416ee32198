//! Who is asked for a token, and whose tokens are taken.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use axum::http::Uri;
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use url::Url;

use super::issuer::Issuer;
use super::source::Source;
use crate::config::duration;
use crate::tls::{self, is_loopback};

/// Clocks of a cluster differ by less.
const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// Tokens of the API: JWTs that an issuer has signed by an asymmetric algorithm.
#[derive(Clone, Debug, clap::Args)]
pub struct AuthConfig {
    /// none: nobody is asked for a token, and whoever reaches HTTP_ADDR may do everything. On loopback that holds without saying
    /// so; elsewhere a service without AUTH_ISSUER starts only if it is told.
    #[arg(long, env = "AUTH", value_enum)]
    pub auth: Option<Auth>,

    /// Whose tokens are taken: their `iss`, letter by letter.
    #[arg(long, env = "AUTH_ISSUER", value_parser = NonEmptyStringValueParser::new())]
    pub auth_issuer: Option<String>,

    /// Whom tokens are for: `aud`, or one of several there.
    #[arg(long, env = "AUTH_AUDIENCE", value_parser = NonEmptyStringValueParser::new())]
    pub auth_audience: Option<String>,

    /// The issuer's JSON Web Key Set, in a file. It is read again once a minute, and when a token names an unknown key.
    #[arg(long, env = "AUTH_JWKS_FILE")]
    pub auth_jwks_file: Option<PathBuf>,

    /// The issuer's JSON Web Key Set, at a URL, which is https unless it is of loopback. Fetched again as the file is.
    #[arg(long, env = "AUTH_JWKS_URL")]
    pub auth_jwks_url: Option<Url>,

    /// PEM file of the authorities that may have signed the certificate of AUTH_JWKS_URL, in place of the system's. It is read again
    /// at each fetch.
    #[arg(long, env = "AUTH_JWKS_CA_FILE", value_parser = tls::certificates)]
    pub auth_jwks_ca_file: Option<PathBuf>,

    /// How far the issuer's clock may differ from ours, for the times in a token.
    #[arg(long, env = "AUTH_LEEWAY", default_value = "30s", value_parser = duration)]
    pub auth_leeway: Duration,
}

/// Whether anybody is asked for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Nobody is.
    None,
}

impl AuthConfig {
    /// Refuses what can't work together, and a service that is open to the network without having been told to be.
    ///
    /// # Errors
    /// One line that names the settings and what to change.
    pub fn check(&self, http_addr: SocketAddr) -> Result<(), String> {
        let has_keys = match (&self.auth_jwks_file, &self.auth_jwks_url) {
            (Some(_), Some(_)) => {
                return Err("AUTH_JWKS_FILE and AUTH_JWKS_URL are both set: which one counts?".to_owned());
            }
            (None, None) => false,
            _ => true,
        };
        let is_alone = self.auth_audience.is_none() && !has_keys && self.auth_jwks_ca_file.is_none();
        match (&self.auth_issuer, self.auth) {
            (Some(_), Some(Auth::None)) => Err("AUTH=none and AUTH_ISSUER are both set: which one counts?".to_owned()),
            (Some(_), None) if self.auth_audience.is_none() || !has_keys => {
                Err("AUTH_ISSUER needs AUTH_AUDIENCE, and AUTH_JWKS_FILE or AUTH_JWKS_URL".to_owned())
            }
            (Some(_), None) => self.check_url(),
            (None, _) if !is_alone => Err(
                "AUTH_AUDIENCE, AUTH_JWKS_FILE, AUTH_JWKS_URL and AUTH_JWKS_CA_FILE mean nothing without AUTH_ISSUER"
                    .to_owned(),
            ),
            (None, Some(Auth::None)) => Ok(()),
            (None, None) if http_addr.ip().is_loopback() => Ok(()),
            (None, None) => Err(format!(
                "HTTP_ADDR {http_addr} is not loopback: set AUTH_ISSUER, or AUTH=none if nobody is to be asked for a token"
            )),
        }
    }

    fn check_url(&self) -> Result<(), String> {
        if self.auth_leeway > LEEWAY_MAX {
            return Err(format!("AUTH_LEEWAY {:?} is too long: at most {LEEWAY_MAX:?}", self.auth_leeway));
        }
        match &self.auth_jwks_url {
            Some(url) if url.scheme() == "https" => Ok(()),
            _ if self.auth_jwks_ca_file.is_some() => {
                Err("AUTH_JWKS_CA_FILE needs an AUTH_JWKS_URL that begins with https://".to_owned())
            }
            Some(url) if url.scheme() == "http" && url.host_str().is_some_and(is_loopback) => Ok(()),
            Some(_) => Err("AUTH_JWKS_URL must be https: whoever can change the keys can sign tokens".to_owned()),
            None => Ok(()),
        }
    }

    /// The issuer, or none if nobody is asked for a token; says which.
    ///
    /// # Errors
    /// If AUTH_JWKS_URL is none of HTTP.
    pub fn issuer(&self) -> anyhow::Result<Option<Issuer>> {
        let (Some(issuer), Some(audience)) = (&self.auth_issuer, &self.auth_audience) else {
            tracing::info!("nobody is asked for a token: whoever reaches the API may do everything");
            return Ok(None);
        };
        let source = match (&self.auth_jwks_file, &self.auth_jwks_url) {
            (Some(path), _) => Source::File(path.clone()),
            (None, Some(url)) => Source::Url {
                url: url.as_str().parse::<Uri>().context("AUTH_JWKS_URL can't be used")?,
                authorities: self.auth_jwks_ca_file.clone(),
            },
            (None, None) => anyhow::bail!("AUTH_ISSUER needs AUTH_JWKS_FILE or AUTH_JWKS_URL"),
        };
        tracing::info!(issuer, audience, "the API asks for a token");
        Ok(Some(Issuer::new(issuer, audience, self.auth_leeway, source)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        auth: AuthConfig,
    }

    fn parsed(flags: &str) -> AuthConfig {
        Command::try_parse_from(["x"].into_iter().chain(flags.split_whitespace())).unwrap().auth
    }

    fn checked(flags: &str, http_addr: &str) -> Result<(), String> {
        parsed(flags).check(http_addr.parse().unwrap())
    }

    const ISSUER: &str = "--auth-issuer=https://id.example --auth-audience=shop";

    #[test]
    fn a_service_is_open_to_the_network_only_if_it_is_told_so() {
        for (flags, http_addr) in [
            ("", "127.0.0.1:1"),
            ("", "[::1]:1"),
            ("--auth=none", "0.0.0.0:1"),
            (&format!("{ISSUER} --auth-jwks-file=/keys"), "0.0.0.0:1"),
            (&format!("{ISSUER} --auth-jwks-url=https://id.example/keys"), "0.0.0.0:1"),
            (&format!("{ISSUER} --auth-jwks-url=http://127.0.0.1:2/keys"), "0.0.0.0:1"),
        ] {
            assert_eq!(checked(flags, http_addr), Ok(()), "{flags}");
        }
        for http_addr in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            assert!(checked("", http_addr).unwrap_err().contains("AUTH=none"), "{http_addr}");
        }
    }

    #[test]
    fn half_an_issuer_is_none() {
        for (flags, named) in [
            (ISSUER, "AUTH_JWKS_FILE or AUTH_JWKS_URL"),
            ("--auth-issuer=x --auth-jwks-file=/keys", "AUTH_AUDIENCE"),
            ("--auth-audience=shop", "AUTH_ISSUER"),
            ("--auth=none --auth-jwks-file=/keys", "AUTH_ISSUER"),
            (&format!("{ISSUER} --auth-jwks-file=/keys --auth=none"), "AUTH=none"),
            (&format!("{ISSUER} --auth-jwks-file=/keys --auth-jwks-url=https://x/"), "AUTH_JWKS_URL"),
            (&format!("{ISSUER} --auth-jwks-url=http://id.example/keys"), "AUTH_JWKS_URL"),
            (&format!("{ISSUER} --auth-jwks-file=/keys --auth-leeway=1h"), "AUTH_LEEWAY"),
        ] {
            let reason = checked(flags, "127.0.0.1:1").unwrap_err();
            assert!(reason.contains(named) && !reason.contains('\n'), "{flags}: {reason}");
        }
    }

    #[test]
    fn authorities_are_for_a_server_that_has_to_prove_its_name() {
        let refusal = |flags: &str| {
            let auth = AuthConfig { auth_jwks_ca_file: Some("/ca.pem".into()), ..parsed(flags) };
            auth.check("0.0.0.0:1".parse().unwrap()).err().unwrap_or_default()
        };
        assert_eq!(refusal(&format!("{ISSUER} --auth-jwks-url=https://id.example/keys")), "");
        for flags in ["--auth-jwks-file=/keys", "--auth-jwks-url=http://127.0.0.1:2/keys"] {
            let reason = refusal(&format!("{ISSUER} {flags}"));
            assert!(reason.starts_with("AUTH_JWKS_CA_FILE needs"), "{reason}");
        }
        assert!(refusal("").contains("nothing without AUTH_ISSUER"));
    }
}
