//! What a connection to a database needs to know: where it is, who we are, and by what it proves that it is the one.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::config::{Secret, Validate};
use crate::telemetry::chain;
use crate::tls;

/// Settings of a database connection.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseConfig {
    /// mysql://USER:PASSWORD@HOST:PORT/DATABASE of MySQL 8.4+ or MariaDB 10.6+.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,

    /// See [`DatabaseTls`].
    #[command(flatten)]
    pub database_tls: DatabaseTls,

    /// Connections in the pool.
    #[arg(long, env = "DATABASE_CONNECTIONS_MAX", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections_max: u32,

    /// How long to wait for a free connection before the database counts as unavailable.
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT", default_value = "3s", value_parser = crate::config::duration)]
    pub database_acquire_timeout: Duration,
}

/// How a connection to the database is encrypted.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DatabaseTls {
    /// PEM file with the authorities that may vouch for the database, beside the system's. With it, only a server with a certificate for the URL's host name is spoken to; without it, connections are not encrypted, unless ssl-mode in the URL says so. One to another machine that is not encrypted is warned of at start.
    #[arg(long, env = "DATABASE_CA_FILE", value_parser = tls::certificates)]
    pub database_ca_file: Option<PathBuf>,

    /// PEM file with our own certificate, for a server that asks for one.
    #[arg(long, env = "DATABASE_CERT_FILE", value_parser = tls::certificates, requires_all = ["database_ca_file", "database_key_file"])]
    pub database_cert_file: Option<PathBuf>,

    /// PEM file with the private key of our certificate.
    #[arg(long, env = "DATABASE_KEY_FILE", value_parser = tls::private_key, requires = "database_cert_file")]
    pub database_key_file: Option<PathBuf>,
}

impl Validate for DatabaseConfig {
    fn validate(&self) -> Result<(), String> {
        check(&self.database_url, &self.database_tls)
    }
}

/// Whether the URL can be used at all, before anything is tried with it.
///
/// # Errors
/// What is wrong with it, without its password.
pub fn check(url: &Secret, tls: &DatabaseTls) -> Result<(), String> {
    let is_ours = ["mysql://", "mariadb://"].iter().any(|scheme| url.expose().starts_with(scheme));
    match options(url, tls) {
        Ok(_) if is_ours => Ok(()),
        Ok(_) => Err("DATABASE_URL is malformed: it must begin with mysql://".to_owned()),
        Err(error) => Err(format!("DATABASE_URL is malformed: {}", chain(&error))),
    }
}

/// What a connection needs to know.
///
/// # Errors
/// If the URL can't be parsed.
pub fn options(url: &Secret, tls: &DatabaseTls) -> sqlx::Result<MySqlConnectOptions> {
    let options: MySqlConnectOptions = url.expose().parse()?;
    let options = match &tls.database_ca_file {
        Some(file) => options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(file),
        // PREFERRED is what sqlx does unasked: encryption with whoever answers, or none. It only looks like TLS.
        None if matches!(options.get_ssl_mode(), MySqlSslMode::Preferred) => options.ssl_mode(MySqlSslMode::Disabled),
        None => options,
    };
    Ok(match (&tls.database_cert_file, &tls.database_key_file) {
        (Some(certificate), Some(key)) => options.ssl_client_cert(certificate).ssl_client_key(key),
        _ => options,
    })
}
