//! `gap`: events that are parked, for which version of their aggregate they wait, and how an aggregate goes on without
//! versions that never came.

use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use runtime::operator::decision::{DecisionConfig, Verdict};
use runtime::operator::table::{Table, or_dash};
use runtime::operator::{CommonConfig, time};
use schema::aggregate::AggregateId;
use serde::Serialize;
use uuid::Uuid;

use crate::handler::Handler;
use crate::process::{Inbox, Unskippable};
use crate::store::inbox_parked;

/// What to do with gaps.
#[derive(Debug, Subcommand)]
pub enum GapVerb {
    /// List the events that are parked, because an earlier version of their aggregate is missing; the longest waiting first.
    List(ListConfig),
    /// Let an aggregate go on without versions that never came; exits 2 if that is refused, 3 if nothing of it waits.
    Skip(SkipConfig),
}

impl GapVerb {
    /// What every one of them needs.
    pub fn common(&self) -> &CommonConfig {
        match self {
            Self::List(config) => &config.common,
            Self::Skip(config) => &config.act.common,
        }
    }
}

/// Settings of `gap list`.
#[derive(Debug, Args)]
pub struct ListConfig {
    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,

    /// Lines at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

/// Settings of `gap skip`.
#[derive(Debug, Args)]
pub struct SkipConfig {
    /// The aggregate that `gap list` shows.
    pub aggregate_id: AggregateId,

    /// The last version to go without, below the one that waits. Should it come after all, it is kept in `inbox_dead`, without effect.
    #[arg(long)]
    pub through: NonZeroU32,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub act: DecisionConfig,
}

#[derive(Serialize)]
struct Gap {
    aggregate_id: AggregateId,
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
    aggregate_id: AggregateId,
    #[serde(skip)]
    verdict: Verdict,
    outcome: &'static str,
    from_version: Option<u32>,
    to_version: u32,
    reason: Option<String>,
}

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub(super) async fn gap<H: Handler>(verb: GapVerb, inbox: &Inbox<H>) -> anyhow::Result<ExitCode> {
    match verb {
        GapVerb::List(config) => list(config, inbox).await,
        GapVerb::Skip(config) => skip(config, inbox).await,
    }
}

async fn list<H: Handler>(config: ListConfig, inbox: &Inbox<H>) -> anyhow::Result<ExitCode> {
    let found = inbox_parked::gaps(&inbox.pool, &inbox.source, config.limit).await.context("reading inbox_parked")?;
    let gaps = found.into_iter().map(|gap| Gap {
        aggregate_id: gap.aggregate_id,
        missing_version: gap.missing_version,
        waiting_version: gap.waiting_version,
        event_id: gap.event_id.0,
        event_type: gap.event_type,
        stream_sequence: gap.stream_sequence,
        attempts: gap.attempts,
        since: gap.since,
    });
    let gaps: Vec<_> = gaps.collect();
    config.common.print(&gaps, |gaps| table(gaps))?;
    Ok(ExitCode::SUCCESS)
}

fn table(gaps: &[Gap]) -> String {
    let mut table = Table::new(&["aggregate", "missing", "waiting", "event", "type", "sequence", "attempts", "since"]);
    for gap in gaps {
        table.row([
            gap.aggregate_id.to_string(),
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

async fn skip<H: Handler>(config: SkipConfig, inbox: &Inbox<H>) -> anyhow::Result<ExitCode> {
    let SkipConfig { aggregate_id, through, act } = config;
    let to_version = through.get();
    let refused = |verdict: Verdict, reason: &Unskippable| Decided {
        aggregate_id,
        verdict,
        outcome: verdict.outcome("skipped"),
        from_version: None,
        to_version,
        reason: Some(reason.to_string()),
    };
    let answer = match inbox.skip(aggregate_id, through, act.by()).await {
        Ok(step) => Decided {
            aggregate_id,
            verdict: Verdict::CarriedOut,
            outcome: "skipped",
            from_version: Some(step.from.unwrap_or_default() + 1),
            to_version,
            reason: None,
        },
        Err(Unskippable::Database(error)) => return Err(error).context("writing the decision"),
        Err(nothing @ Unskippable::NothingWaits) => refused(Verdict::NotFound, &nothing),
        Err(refusal) => refused(Verdict::Refused, &refusal),
    };
    act.common.print(&answer, |answer| match (&answer.reason, answer.from_version) {
        (Some(reason), _) => format!("{aggregate_id} {}: {reason}\n", answer.outcome),
        (None, from) => format!("{aggregate_id} goes on without versions {} to {to_version}\n", from.unwrap_or(1)),
    })?;
    Ok(answer.verdict.status())
}
