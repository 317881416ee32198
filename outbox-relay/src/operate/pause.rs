//! `outbox-relay subject pause|list`: events for a subject wait until they are resumed.
//!
//! Takes effect in every relay within half a second; what was being published at that moment still is.

use std::process::ExitCode;

use anyhow::Context;

use crate::store;
use crate::store::action::{self, Action, Verb};
use crate::store::pause::PauseRow;
use crate::subject::{self, Pattern};
use runtime::exit::Refused;
use runtime::mysql::Pool;
use runtime::operator::CommonConfig;
use runtime::operator::table::Table;
use runtime::operator::time;

/// Settings of `pause`.
#[derive(Clone, Debug, clap::Args)]
pub struct PauseConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// Subjects that wait: order.created, order.*, or > for all.
    #[arg(value_parser = subject::pattern)]
    pub pattern: Pattern,

    /// Why, for the record.
    #[arg(long, value_parser = runtime::config::reason)]
    pub reason: String,
}

/// Pauses a pattern, and shows all that are.
///
/// # Errors
/// If it is paused already, or the database refuses.
pub async fn pause(PauseConfig { common, pattern, reason }: PauseConfig) -> anyhow::Result<ExitCode> {
    let pool = common.pool().await?;
    let pattern = pattern.as_str();
    let mut tx = pool.begin().await.context("connecting to the database")?;
    match store::pause::add(&mut tx, pattern, &reason, &common.actor).await {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            anyhow::bail!(Refused(format!("{pattern} is paused already")))
        }
        result => result.context("writing outbox_pause")?,
    }
    let action = Action { actor: &common.actor, verb: Verb::Pause, scope: pattern, reason: Some(&reason), events: 0 };
    action::record(&mut tx, &action).await.context("recording the action")?;
    tx.commit().await.context("committing")?;
    print(&common, &pool).await
}

/// Shows what is paused.
///
/// # Errors
/// If the database can't be read.
pub async fn list(common: CommonConfig) -> anyhow::Result<ExitCode> {
    let pool = common.pool().await?;
    print(&common, &pool).await
}

async fn print(common: &CommonConfig, pool: &Pool) -> anyhow::Result<ExitCode> {
    let pauses = store::pause::list(pool).await.context("reading outbox_pause")?;
    common.print(&pauses, |pauses| table(pauses))?;
    Ok(ExitCode::SUCCESS)
}

fn table(pauses: &[PauseRow]) -> String {
    let mut table = Table::new(&["paused", "since", "by", "reason"]);
    for PauseRow { pattern, reason, paused_by, paused_at } in pauses {
        let since = time(*paused_at);
        table.row([pattern.clone(), since, paused_by.clone(), reason.clone()]);
    }
    table.to_string()
}
