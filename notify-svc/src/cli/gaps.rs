//! `notify-svc gaps`: events that are parked, and for which version of their order they wait.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use runtime::operator::{LookConfig, time};
use runtime::terminal::one_line as plain;
use serde::Serialize;
use uuid::Uuid;

use crate::store::inbox_parked;

/// Settings of `gaps`.
#[derive(Debug, Args)]
pub struct GapsConfig {
    /// See [`LookConfig`].
    #[command(flatten)]
    pub look: LookConfig,

    /// Lines at most; the longest waiting come first.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

#[derive(Serialize)]
struct Gap {
    order_id: Uuid,
    missing_version: u32,
    waiting_version: Option<u32>,
    event_id: Uuid,
    event_type: String,
    stream_sequence: u64,
    attempts: u32,
    since: chrono::DateTime<chrono::Utc>,
}

/// Prints the gaps.
///
/// # Errors
/// If the database can't be read.
pub async fn gaps(config: GapsConfig) -> anyhow::Result<ExitCode> {
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
    let mut table = format!(
        "{:<36} {:>7} {:>7} {:<36} {:<16} {:>10} {:>8}  since\n",
        "order", "missing", "waiting", "event", "type", "sequence", "attempts"
    );
    for Gap { order_id, missing_version, waiting_version, event_id, event_type, stream_sequence, attempts, since } in
        gaps
    {
        let (kind, since) = (plain(event_type), time(*since));
        let waiting = waiting_version.map_or("-".to_owned(), |version| version.to_string());
        table.push_str(&format!(
            "{order_id:<36} {missing_version:>7} {waiting:>7} {event_id:<36} {kind:<16} {stream_sequence:>10} {attempts:>8}  {since}\n"
        ));
    }
    table
}
