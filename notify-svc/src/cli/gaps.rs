//! `notify-svc gaps`: orders that wait for an elder version.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::{Operator, time};
use crate::store::inbox_waiting;

/// Settings of `gaps`.
#[derive(Debug, Args)]
pub struct GapsConfig {
    /// See [`Operator`].
    #[command(flatten)]
    pub operator: Operator,

    /// Lines at most; the longest waiting come first.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

#[derive(Serialize)]
struct Gap {
    order_id: Uuid,
    missing_version: u32,
    waiting_version: u32,
    event_id: Uuid,
    stream_sequence: u64,
    deliveries: u32,
    since: chrono::DateTime<chrono::Utc>,
}

/// Prints the gaps.
///
/// # Errors
/// If the database can't be read.
pub async fn gaps(config: GapsConfig) -> anyhow::Result<ExitCode> {
    let pool = config.operator.pool().context("DATABASE_URL is malformed")?;
    let found = inbox_waiting::gaps(&pool, config.limit).await.context("reading inbox_waiting")?;
    let gaps = found.into_iter().map(|gap| Gap {
        order_id: gap.aggregate_id,
        missing_version: gap.missing_version,
        waiting_version: gap.waiting_version,
        event_id: gap.event_id.0,
        stream_sequence: gap.stream_sequence,
        deliveries: gap.deliveries,
        since: gap.since,
    });
    let gaps: Vec<_> = gaps.collect();
    config.operator.print(&gaps, || table(&gaps))?;
    Ok(ExitCode::SUCCESS)
}

fn table(gaps: &[Gap]) -> String {
    let mut table = format!("{:<36} {:>7} {:>7} {:>10}  since\n", "order", "missing", "waiting", "deliveries");
    for gap in gaps {
        let since = time(gap.since);
        let (order, missing, waiting) = (gap.order_id, gap.missing_version, gap.waiting_version);
        table.push_str(&format!("{order:<36} {missing:>7} {waiting:>7} {:>10}  {since}\n", gap.deliveries));
    }
    table
}
