//! `outbox-relay subject resume`: events for a paused subject go on, in their order.
//!
//! The active relay notices within half a second and releases what was held, unless another pause or an earlier dead event
//! still holds it.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use crate::store;
use crate::store::action::{self, Action, Verb};
use runtime::exit::NotFound;
use runtime::operator::CommonConfig;

/// Settings of `resume`.
#[derive(Clone, Debug, clap::Args)]
pub struct ResumeConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// The pattern as it was paused; `outbox-relay subject list` shows them.
    pub pattern: String,
}

/// Resumes a pattern.
///
/// # Errors
/// If it is not paused, or the database refuses.
pub async fn resume(config: ResumeConfig) -> anyhow::Result<ExitCode> {
    let common = &config.common;
    let pattern = config.pattern.as_str();
    let pool = common.pool().await?;
    let mut tx = pool.begin().await.context("connecting to the database")?;
    let was_paused = store::pause::remove(&mut tx, pattern).await.context("writing outbox_pause")?;
    anyhow::ensure!(
        was_paused,
        NotFound(format!("{pattern} is not paused; `outbox-relay subject list` shows what is"))
    );
    let entry = Action { actor: &common.actor, verb: Verb::Resume, scope: pattern, reason: None, events: 0 };
    action::record(&mut tx, &entry).await.context("recording the action")?;
    tx.commit().await.context("committing")?;
    common.print(&json!({ "resumed": pattern }), |_| format!("{pattern} goes on\n"))?;
    Ok(ExitCode::SUCCESS)
}
