//! `notify-svc skip`: an order goes on without versions that never came.

use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::DecisionConfig;
use crate::process::{self, Unskippable};

/// Settings of `skip`.
#[derive(Debug, Args)]
pub struct SkipConfig {
    /// The order that `gaps` shows.
    pub order_id: Uuid,

    /// The last version to go without, below the one that waits. Should it come after all, it is kept in `inbox_dead`, without effect.
    #[arg(long)]
    pub through: NonZeroU32,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub act: DecisionConfig,
}

#[derive(Serialize)]
struct Decided {
    order_id: Uuid,
    outcome: &'static str,
    from_version: Option<u32>,
    to_version: u32,
    reason: Option<String>,
}

/// Skips, or says why not; a refusal is exit 1.
///
/// # Errors
/// If the database can't be read or written.
pub async fn skip(config: SkipConfig) -> anyhow::Result<ExitCode> {
    let SkipConfig { order_id, through, act } = config;
    let pool = act.look().pool()?;
    let to_version = through.get();
    let decided = match process::skip(&pool, order_id, through, act.by()).await {
        Ok(step) => Decided {
            order_id,
            outcome: "skipped",
            from_version: Some(step.from.unwrap_or_default() + 1),
            to_version,
            reason: None,
        },
        Err(Unskippable::Database(error)) => return Err(error).context("writing the decision"),
        Err(refusal) => {
            Decided { order_id, outcome: "refused", from_version: None, to_version, reason: Some(refusal.to_string()) }
        }
    };
    act.look().print(&decided, |decided| match (&decided.reason, decided.from_version) {
        (Some(reason), _) => format!("order {order_id} refused: {reason}\n"),
        (None, from) => format!("order {order_id} goes on without versions {} to {to_version}\n", from.unwrap_or(1)),
    })?;
    Ok(if decided.reason.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
