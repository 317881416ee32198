//! Who we are to NATS: a user with a password, the holder of a token, of an NKEY, or of credentials with a JWT.
//!
//! Guarantees that one way is chosen and no other, that a secret of no use ends the program at its start without being shown,
//! and that each connection is made with what its file has now: `a_token_is_read_again_from_its_file`, `an_nkey_is_read_again_from_its_file`,
//! `credentials_of_a_server_in_operator_mode_are_read_again_from_their_file`.

use std::io;
use std::path::PathBuf;

use async_nats::{Auth, AuthError, ServerAddr};
use nkeys::{KeyPair, KeyPairType};

use crate::config::{Secret, Validate};
use crate::tls;

/// Settings of a NATS connection.
#[derive(Clone, Debug, clap::Args)]
pub struct NatsConfig {
    /// nats://HOST:PORT, several separated by commas; nats://USER:PASSWORD@HOST:PORT with credentials.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Secret,

    /// See [`NatsAccess`].
    #[command(flatten)]
    pub nats_access: NatsAccess,
}

/// Who we are to NATS, and by what we know it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NatsAccess {
    /// Our user; goes before one in the URL. Beside a token, an NKEY or credentials, it only names the place that answers come to: _INBOX. and the name, as the server's permissions have it.
    #[arg(long, env = "NATS_USER")]
    pub nats_user: Option<String>,

    /// The password of NATS_USER.
    #[arg(long, env = "NATS_PASSWORD", hide_env_values = true)]
    pub nats_password: Option<Secret>,

    /// The token of a server that knows no users.
    #[arg(long, env = "NATS_TOKEN", hide_env_values = true)]
    pub nats_token: Option<Secret>,

    /// The seed of our NKEY, which begins with SU.
    #[arg(long, env = "NATS_NKEY", hide_env_values = true)]
    pub nats_nkey: Option<Secret>,

    /// Our credentials, a JWT and the seed of its key, as `nsc` writes them to a .creds file.
    #[arg(long, env = "NATS_CREDS", hide_env_values = true)]
    pub nats_creds: Option<Secret>,

    /// PEM file with the authorities that may vouch for NATS. With it, only servers with a certificate for their host name in the URL are spoken to; without it, connections are encrypted only to tls:// URLs and to servers that insist, by the system's authorities. One to another machine that need not be encrypted is warned of at start.
    #[arg(long, env = "NATS_CA_FILE", value_parser = tls::certificates)]
    pub nats_ca_file: Option<PathBuf>,

    /// PEM file with our own certificate, for a server that asks for one.
    #[arg(long, env = "NATS_CERT_FILE", value_parser = tls::certificates, requires_all = ["nats_ca_file", "nats_key_file"])]
    pub nats_cert_file: Option<PathBuf>,

    /// PEM file with the private key of our certificate.
    #[arg(long, env = "NATS_KEY_FILE", value_parser = tls::private_key, requires = "nats_cert_file")]
    pub nats_key_file: Option<PathBuf>,
}

impl Validate for NatsAccess {
    fn validate(&self) -> Result<(), String> {
        let ways = [
            ("NATS_PASSWORD", &self.nats_password),
            ("NATS_TOKEN", &self.nats_token),
            ("NATS_NKEY", &self.nats_nkey),
            ("NATS_CREDS", &self.nats_creds),
        ];
        let given: Vec<&str> = ways.iter().filter(|(_, secret)| secret.is_some()).map(|(name, _)| *name).collect();
        if let [first, second, ..] = given[..] {
            return Err(format!("{first} and {second} are both set: which one counts?"));
        }
        if self.nats_user.is_none() && self.nats_password.is_some() {
            return Err("NATS_PASSWORD needs NATS_USER: whose password is it?".to_owned());
        }
        self.nats_nkey.as_ref().map_or(Ok(()), |nkey| key(nkey).map(drop))?;
        self.nats_creds.as_ref().map_or(Ok(()), |creds| credentials(creds).map(drop))
    }
}

impl Validate for NatsConfig {
    fn validate(&self) -> Result<(), String> {
        self.nats_access.validate()?;
        let addresses = addresses(&self.nats_url).map_err(|error| format!("NATS_URL is malformed: {error}"))?;
        let keyed = [&self.nats_access.nats_token, &self.nats_access.nats_nkey, &self.nats_access.nats_creds];
        if addresses.iter().any(|address| address.username().is_some()) && keyed.iter().any(|secret| secret.is_some()) {
            return Err(
                "NATS_URL has a user, and a token, an NKEY or credentials are set: which one counts?".to_owned()
            );
        }
        Ok(())
    }
}

/// The servers that a URL names.
pub(super) fn addresses(url: &Secret) -> io::Result<Vec<ServerAddr>> {
    url.expose().split(',').map(str::parse).collect()
}

/// The key that a seed is of.
fn key(seed: &Secret) -> Result<KeyPair, String> {
    let key = user_key(section(seed.expose(), "SEED").unwrap_or(seed.expose()));
    key.ok_or_else(|| "NATS_NKEY is malformed: it must be the seed of a user's NKEY, which begins with SU".to_owned())
}

/// The JWT and the key of credentials.
fn credentials(creds: &Secret) -> Result<(String, KeyPair), String> {
    let jwt = section(creds.expose(), "JWT").filter(|jwt| jwt.split('.').count() == 3);
    let key = section(creds.expose(), "SEED").and_then(user_key);
    let malformed =
        "NATS_CREDS is malformed: it must hold the JWT of a user and the seed of its key, as nsc writes them";
    jwt.map(str::to_owned).zip(key).ok_or_else(|| malformed.to_owned())
}

fn user_key(seed: &str) -> Option<KeyPair> {
    KeyPair::from_seed(seed.trim()).ok().filter(|key| key.key_pair_type() == KeyPairType::User)
}

/// The line below the one that begins a section, such as `-----BEGIN USER NKEY SEED-----`.
fn section<'t>(text: &'t str, what: &str) -> Option<&'t str> {
    let begins = |line: &&str| line.starts_with("---") && line.contains("BEGIN") && line.contains(what);
    text.lines().skip_while(|line| !begins(line)).nth(1).map(str::trim)
}

/// Reads a secret again; one that is of no use now, perhaps because somebody writes it, counts as unchanged.
fn now<T>(secret: &Secret, read: impl Fn(&Secret) -> Result<T, String>) -> Result<T, AuthError> {
    let again = read(&secret.read_again()).or_else(|reason| {
        tracing::error!(reason, "a secret is of no use now, going on with the one before");
        read(secret)
    });
    again.map_err(AuthError::new)
}

impl NatsConfig {
    /// Whether we say who we are.
    pub(super) fn signs_in(&self) -> bool {
        let access = &self.nats_access;
        access.nats_token.is_some()
            || access.nats_nkey.is_some()
            || access.nats_creds.is_some()
            || self.user().is_some()
    }

    /// Who we are now, for a connection that is being made to a server that has signed itself with `nonce`.
    pub(super) fn auth(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let (access, mut auth) = (&self.nats_access, Auth::new());
        let sign = |key: &KeyPair| key.sign(nonce).map(Some).map_err(AuthError::new);
        if let Some(creds) = &access.nats_creds {
            let (jwt, key) = now(creds, credentials)?;
            (auth.jwt, auth.signature) = (Some(jwt), sign(&key)?);
        } else if let Some(seed) = &access.nats_nkey {
            let key = now(seed, key)?;
            (auth.nkey, auth.signature) = (Some(key.public_key()), sign(&key)?);
        } else if let Some(token) = &access.nats_token {
            auth.token = Some(token.read_again().expose().to_owned());
        } else if let Some((user, password)) = self.user() {
            (auth.username, auth.password) = (Some(user), Some(password));
        }
        Ok(auth)
    }

    /// User and password, as their files have them now. The client itself overlooks what a URL says before the @.
    pub(super) fn user(&self) -> Option<(String, String)> {
        if let Some(user) = &self.nats_access.nats_user {
            let password = self.nats_access.nats_password.as_ref().map(Secret::read_again);
            return Some((user.clone(), password.map_or_else(String::new, |password| password.expose().to_owned())));
        }
        let addresses = addresses(&self.nats_url.read_again()).or_else(|_| addresses(&self.nats_url)).ok()?;
        let in_url = |address: &ServerAddr| {
            Some((address.username()?.to_owned(), address.password().unwrap_or_default().to_owned()))
        };
        addresses.iter().find_map(in_url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creds(seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    fn refusal(change: impl FnOnce(&mut NatsConfig)) -> String {
        let url = Secret::from("nats://h".to_owned());
        let mut config = NatsConfig { nats_url: url, nats_access: NatsAccess::default() };
        change(&mut config);
        config.validate().err().unwrap_or_default()
    }

    #[test]
    fn one_way_to_sign_in_is_chosen_and_can_work() {
        let (user, account) = (KeyPair::new_user().seed().unwrap(), KeyPair::new_account().seed().unwrap());
        let secret = |text: &str| Some(Secret::from(text.to_owned()));
        for seed in [user.clone(), format!("{user}\n"), creds(&user).replace("a.b.c", "")] {
            assert_eq!(refusal(|config| config.nats_access.nats_nkey = secret(&seed)), "");
        }
        assert_eq!(refusal(|config| config.nats_access.nats_creds = secret(&creds(&user))), "");
        assert_eq!(refusal(|config| config.nats_access.nats_token = secret("t")), "");
        for seed in ["hunter2", account.as_str(), &user[1..], ""] {
            let reason = refusal(|config| config.nats_access.nats_nkey = secret(seed));
            assert!(reason.starts_with("NATS_NKEY is malformed") && !reason.contains("hunter2"), "{reason}");
        }
        for text in ["hunter2", &user, &creds(&account), &creds(&user).replace("a.b.c", "hunter2")] {
            let reason = refusal(|config| config.nats_access.nats_creds = secret(text));
            assert!(reason.starts_with("NATS_CREDS is malformed") && !reason.contains("hunter2"), "{reason}");
        }
        let both = refusal(|config| {
            config.nats_access.nats_token = secret("t");
            config.nats_access.nats_nkey = secret(&user);
        });
        assert_eq!(both, "NATS_TOKEN and NATS_NKEY are both set: which one counts?");
        let in_url = refusal(|config| {
            config.nats_url = Secret::from("nats://u:hunter2@h".to_owned());
            config.nats_access.nats_token = secret("t");
        });
        assert!(in_url.starts_with("NATS_URL has a user, and a token"), "{in_url}");
    }
}
