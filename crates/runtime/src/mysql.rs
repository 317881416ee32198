//! Connections to MySQL and MariaDB: settings, session, pool, which faults pass by themselves, and whether an INSERT
//! found its key taken.
//!
//! Guarantees READ COMMITTED, UTC and a bounded wait for locks in every session. Under REPEATABLE READ a locking
//! read that reaches the end of the outbox would block every INSERT.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use tokio_util::sync::CancellationToken;

use crate::config::{Secret, Validate};
use crate::retry::Retry;
use crate::telemetry::chain;
use crate::tls;

mod closer;
mod connection;
mod error;
mod login;
mod pool;
mod session;

pub use connection::{PooledConnection, Transaction};
pub use error::{is_data_fault, is_lock_wait, is_transient};
pub use pool::{Pool, STATEMENT_TIME_MAX, UNCHECKED_IDLE};
pub use session::connect;

/// So often a database that refuses our login is asked again.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

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

/// A pool that connects when first used. Warns if what it says to another machine can be overheard.
///
/// # Errors
/// If the URL can't be parsed.
pub fn pool(config: &DatabaseConfig) -> sqlx::Result<Pool> {
    let login = login::Login::new(&config.database_url, &config.database_tls)?;
    let options = options(&config.database_url, &config.database_tls)?;
    if is_overheard(&options) {
        tracing::warn!(
            host = options.get_host(),
            "the connection to the database is not encrypted; DATABASE_CA_FILE would encrypt it"
        );
    }
    Ok(Pool::new(login, config.database_connections_max, config.database_acquire_timeout))
}

fn is_overheard(options: &MySqlConnectOptions) -> bool {
    let is_local = options.get_socket().is_some() || tls::is_loopback(options.get_host());
    matches!(options.get_ssl_mode(), MySqlSslMode::Disabled) && !is_local
}

/// Asks the database now and then, for as long as it refuses the login that it took before: a process that is not ready
/// for it gets no requests, and would never learn that it is taken again.
pub async fn ask_while_refused(pool: &Pool, shutdown: &CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(REFUSAL_PAUSE)).await.is_some() {
        if pool.is_refused()
            && let Ok(connection) = pool.acquire().await
        {
            connection.release();
        }
    }
}

/// Waits until the database answers, however long it is away.
///
/// # Errors
/// A fault that waiting can't fix, such as a wrong password, or a stop of the process.
pub async fn wait_until_up(pool: &Pool, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut retry = Retry::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match pool.acquire().await {
            Ok(connection) => {
                connection.release();
                return Ok(());
            }
            Err(error) if is_transient(&error) => {
                tracing::warn!(error = chain(&error), "database is not reachable, trying again");
                retry.wait(shutdown).await?;
            }
            Err(error) => return Err(anyhow::Error::new(error).context("connecting to the database")),
        }
    }
}

/// Whether a row is new, or was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It was inserted now.
    First,
    /// Its key is taken.
    Duplicate,
}

impl Receipt {
    /// Reads the outcome of a plain INSERT. An upsert can't tell: with CLIENT_FOUND_ROWS, which sqlx sets, one that
    /// changes nothing reports a row like a fresh one. A refused INSERT undoes itself only; the transaction goes on.
    ///
    /// # Errors
    /// Any fault but a taken key.
    pub fn of<T>(inserted: sqlx::Result<T>) -> sqlx::Result<Self> {
        match inserted {
            Ok(_) => Ok(Self::First),
            Err(error) if error::is_taken_key(&error) => Ok(Self::Duplicate),
            Err(error) => Err(error),
        }
    }
}
