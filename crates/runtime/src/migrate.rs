//! The verb `migrate` of every service: brings its database to the newest schema. Safe to run again, and by several at once:
//! sqlx holds a named lock meanwhile.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use sqlx::{ConnectOptions, Connection, MySqlConnection};

use crate::config::{Secret, Validate};
use crate::mysql::{self, DatabaseTls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateConfig {
    /// mysql://USER:PASSWORD@HOST:PORT/DATABASE of a user who may change the schema; the database must exist.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,

    /// See [`DatabaseTls`].
    #[command(flatten)]
    pub database_tls: DatabaseTls,
}

impl Validate for MigrateConfig {
    fn validate(&self) -> Result<(), String> {
        mysql::check(&self.database_url, &self.database_tls)
    }
}

/// Has the migrations applied that the database lacks.
///
/// # Errors
/// If the database can't be reached, or as `apply` has it.
pub async fn migrate<E>(
    config: &MigrateConfig,
    apply: impl AsyncFnOnce(&mut MySqlConnection) -> Result<(), E>,
) -> anyhow::Result<ExitCode>
where
    E: std::error::Error + Display + Send + Sync + 'static,
{
    let options = mysql::options(&config.database_url, &config.database_tls).context("DATABASE_URL is malformed")?;
    let place = format!("{}:{}", options.get_host(), options.get_port());
    let options = options.disable_statement_logging();
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, mysql::connect(&options))
        .await
        .with_context(|| format!("{place} did not answer within {CONNECT_TIMEOUT:?}"))?
        .with_context(|| format!("connecting to the database at {place}"))?;
    apply(&mut connection).await.context("migrating the database of DATABASE_URL")?;
    connection.close().await.context("closing the connection")?;
    println!("the database is at the newest schema");
    Ok(ExitCode::SUCCESS)
}
