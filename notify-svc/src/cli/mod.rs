//! The verbs for operators: each opens the database, says what it found and ends. Tables for people, `--json` for programs.

pub mod dead;
pub mod email;
pub mod gaps;
pub mod inbox;
pub mod reread;
pub mod skip;
pub mod status;

use std::time::Duration;

use clap::Args;
use runtime::config::{Secret, Validate, duration};
use runtime::mysql::{self, DatabaseConfig, DatabaseTls, Pool};
use runtime::terminal::{self, one_line as plain};
use serde::Serialize;

use crate::store::inbox_action::By;

/// What every verb for operators needs.
#[derive(Clone, Debug, Args)]
pub struct Operator {
    /// mysql://USER:PASSWORD@HOST:PORT/DATABASE; its user is notify_svc.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,

    /// See [`DatabaseTls`].
    #[command(flatten)]
    pub database_tls: DatabaseTls,

    /// How long to wait for the database.
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT", default_value = "3s", value_parser = duration)]
    pub database_acquire_timeout: Duration,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Settings of a verb that changes something.
#[derive(Clone, Debug, Args)]
pub struct ActConfig {
    /// See [`Operator`].
    #[command(flatten)]
    pub operator: Operator,

    /// Who you are, for the record in email_action or inbox_action; without it and USER, the host.
    #[arg(long, env = "USER", default_value_t = runtime::operator::machine(), hide_default_value = true, value_parser = runtime::config::actor)]
    pub actor: String,

    /// The reason, for the record.
    #[arg(long, value_parser = runtime::config::reason)]
    pub reason: String,
}

impl ActConfig {
    fn by(&self) -> By<'_> {
        By { actor: &self.actor, reason: &self.reason }
    }
}

impl Validate for Operator {
    fn validate(&self) -> Result<(), String> {
        mysql::check(&self.database_url, &self.database_tls)
    }
}

impl Operator {
    fn pool(&self) -> sqlx::Result<Pool> {
        let pool = mysql::pool(&DatabaseConfig {
            database_url: self.database_url.clone(),
            database_tls: self.database_tls.clone(),
            database_connections_max: 1,
            database_acquire_timeout: self.database_acquire_timeout,
        })?;
        Ok(pool.patient())
    }

    /// Prints rows as one JSON value, or as a table.
    fn print<T: Serialize>(&self, rows: &T, table: impl FnOnce() -> String) -> anyhow::Result<()> {
        Ok(terminal::print(rows, self.json, |_| table())?)
    }
}

/// A time as operators' SQL shows it, in UTC.
fn time(moment: chrono::DateTime<chrono::Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M:%S").to_string()
}
