//! Connections to MySQL and MariaDB: settings, session, pool, which faults pass by themselves, and whether an INSERT
//! found its key taken.
//!
//! Guarantees READ COMMITTED, UTC and a bounded wait for locks in every session. Under REPEATABLE READ a locking
//! read that reaches the end of the outbox would block every INSERT.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use tokio_util::sync::CancellationToken;

use crate::retry::Retry;
use crate::telemetry::chain;
use crate::tls;

mod closer;
mod connection;
mod connector;
mod error;
mod login;
mod pool;
pub mod rows;
mod session;
mod settings;
mod time_limit;
mod transaction;

pub use connection::PooledConnection;
pub use connector::UNCHECKED_IDLE;
pub use error::{is_data_fault, is_lock_wait, is_transient};
pub use pool::{Pool, STATEMENT_TIME_MAX};
pub use session::connect;
pub use settings::{DatabaseConfig, DatabaseTls, check, options};
pub use transaction::Transaction;

/// So often a database that refuses our login is asked again.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

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
