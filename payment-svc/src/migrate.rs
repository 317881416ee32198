//! `payment-svc migrate`: brings the database `payments` to the newest schema. Safe to run again, and by several at once:
//! sqlx holds a named lock meanwhile.

use std::time::Duration;

use anyhow::Context;
use runtime::mysql;
use sqlx::{ConnectOptions, Connection};

use crate::config::MigrateConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Applies the migrations that the database lacks.
///
/// # Errors
/// If the database can't be reached or a migration fails or was changed after it had been applied.
pub async fn migrate(config: &MigrateConfig) -> anyhow::Result<()> {
    let options = mysql::options(&config.database_url, &config.database_tls).context("DATABASE_URL is malformed")?;
    let place = format!("{}:{}", options.get_host(), options.get_port());
    let options = options.disable_statement_logging();
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, mysql::connect(&options))
        .await
        .with_context(|| format!("{place} did not answer within {CONNECT_TIMEOUT:?}"))?
        .with_context(|| format!("connecting to the database at {place}"))?;
    let migrated = schema::database::PAYMENTS.migrate(&mut connection).await;
    migrated.context("migrating the database of DATABASE_URL")?;
    connection.close().await.context("closing the connection")?;
    println!("the database is at the newest schema");
    Ok(())
}
