//! `notify-svc gap`: events that are parked, for which version of their order they wait, and how an order goes on without
//! versions that never came.

use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use runtime::operator::table::{Table, or_dash};
use runtime::operator::{LookConfig, time};
use schema::aggregate::AggregateId;
use serde::Serialize;
use uuid::Uuid;

use super::{DecisionConfig, decided};
use crate::process::{self, Unskippable};
use crate::store::inbox_parked;

/// What to do with gaps.
#[derive(Debug, Subcommand)]
pub enum GapVerb {
    /// List the events that are parked, because an earlier version of their order is missing; the longest waiting first.
    List(ListConfig),
    /// Let an order go on without versions that never came; exits 1 if that is refused.
    Skip(SkipConfig),
}

impl GapVerb {
    /// What every one of them needs.
    pub fn look(&self) -> &LookConfig {
        match self {
            Self::List(config) => &config.look,
            Self::Skip(config) => config.act.look(),
        }
    }
}

/// Settings of `gap list`.
#[derive(Debug, Args)]
pub struct ListConfig {
    /// See [`LookConfig`].
    #[command(flatten)]
    pub look: LookConfig,

    /// Lines at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

/// Settings of `gap skip`.
#[derive(Debug, Args)]
pub struct SkipConfig {
    /// The order that `gap list` shows.
    pub order_id: AggregateId,

    /// The last version to go without, below the one that waits. Should it come after all, it is kept in `inbox_dead`, without effect.
    #[arg(long)]
    pub through: NonZeroU32,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub act: DecisionConfig,
}

#[derive(Serialize)]
struct Gap {
    order_id: AggregateId,
    missing_version: u32,
    waiting_version: Option<u32>,
    event_id: Uuid,
    event_type: String,
    stream_sequence: u64,
    attempts: u32,
    since: chrono::DateTime<chrono::Utc>,
}

#[derive(Serialize)]
struct Decided {
    order_id: AggregateId,
    outcome: &'static str,
    from_version: Option<u32>,
    to_version: u32,
    reason: Option<String>,
}

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub async fn gap(verb: GapVerb) -> anyhow::Result<ExitCode> {
    match verb {
        GapVerb::List(config) => list(config).await,
        GapVerb::Skip(config) => skip(config).await,
    }
}

async fn list(config: ListConfig) -> anyhow::Result<ExitCode> {
    let pool = config.look.pool()?;
    let found = inbox_parked::gaps(&pool, config.limit).await.context("reading inbox_parked")?;
    let gaps = found.into_iter().map(|gap| Gap {
        order_id: gap.aggregate_id,
        missing_version: gap.missing_version,
        waiting_version: gap.waiting_version,
        event_id: gap.event_id.0,
        event_type: gap.event_type,
        stream_sequence: gap.stream_sequence,
        attempts: gap.attempts,
        since: gap.since,
    });
    let gaps: Vec<_> = gaps.collect();
    config.look.print(&gaps, |gaps| table(gaps))?;
    Ok(ExitCode::SUCCESS)
}

fn table(gaps: &[Gap]) -> String {
    let mut table = Table::new(&["order", "missing", "waiting", "event", "type", "sequence", "attempts", "since"]);
    for gap in gaps {
        table.row([
            gap.order_id.to_string(),
            gap.missing_version.to_string(),
            or_dash(gap.waiting_version),
            gap.event_id.to_string(),
            gap.event_type.clone(),
            gap.stream_sequence.to_string(),
            gap.attempts.to_string(),
            time(gap.since),
        ]);
    }
    table.to_string()
}

async fn skip(SkipConfig { order_id, through, act }: SkipConfig) -> anyhow::Result<ExitCode> {
    let pool = act.look().pool()?;
    let to_version = through.get();
    let answer = match process::skip(&pool, order_id, through, act.by()).await {
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
    act.look().print(&answer, |answer| match (&answer.reason, answer.from_version) {
        (Some(reason), _) => format!("order {order_id} refused: {reason}\n"),
        (None, from) => format!("order {order_id} goes on without versions {} to {to_version}\n", from.unwrap_or(1)),
    })?;
    Ok(decided(answer.reason.is_none()))
}
