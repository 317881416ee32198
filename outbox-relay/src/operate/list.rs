//! `outbox-relay event list`: events by state, aggregate, type and time, newest first.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use schema::aggregate::AggregateId;
use schema::sequence::Seq;

use crate::store::column::moment;
use crate::store::outbox_view::{self, Filter, ListedRow};
use crate::store::state::State;
use runtime::operator::CommonConfig;
use runtime::operator::table::{Table, or_dash};
use runtime::operator::time;

/// Settings of `list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// Only events in this state.
    #[arg(long)]
    pub state: Option<State>,

    /// Only events of this aggregate, as TYPE/ID, such as invoice/4711; TYPE ends at the first slash.
    #[arg(long, value_parser = aggregate)]
    pub aggregate: Option<(String, AggregateId)>,

    /// Only events of this type. With no index on it, nor on the times, a list of few events may read the whole outbox,
    /// newest first: some seconds at ten million events.
    #[arg(long = "type")]
    pub event_type: Option<String>,

    /// Only events with an occurred_at of this time or later: 2026-11-22T11:30:00Z, or how long ago, such as 90m.
    #[arg(long, value_parser = runtime::time::moment)]
    pub since: Option<DateTime<Utc>>,

    /// Only events with an occurred_at before this time.
    #[arg(long, value_parser = runtime::time::moment)]
    pub until: Option<DateTime<Utc>>,

    /// Only events before this seq: the last one of the page before.
    #[arg(long)]
    pub before: Option<Seq>,

    /// How many events to show.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

/// clap's `value_parser` of an aggregate.
///
/// # Errors
/// What is wrong with the text.
pub fn aggregate(text: &str) -> Result<(String, AggregateId), String> {
    let (aggregate_type, id) = text.split_once('/').ok_or("expected TYPE/ID, such as invoice/4711")?;
    Ok((aggregate_type.to_owned(), id.parse().map_err(|error| format!("{id:?}: {error}"))?))
}

/// Prints the list.
///
/// # Errors
/// If the outbox can't be read.
pub async fn list(config: ListConfig) -> anyhow::Result<ExitCode> {
    let pool = config.common.pool().await?;
    let filter = Filter {
        state: config.state,
        aggregate: config.aggregate,
        event_type: config.event_type,
        since: config.since,
        until: config.until,
        before: config.before.unwrap_or(Seq::MAX),
    };
    let rows = outbox_view::list(&pool, &filter, config.limit).await.context("reading the outbox")?;
    config.common.print(&rows, |rows| table(rows))?;
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[ListedRow]) -> String {
    let headings = ["seq", "event", "type", "aggregate", "version", "state", "attempts", "occurred at", "last error"];
    let mut table = Table::new(&headings);
    for row in rows {
        table.row([
            row.seq.to_string(),
            row.event_id.to_string(),
            row.event_type.clone(),
            format!("{}/{}", row.aggregate_type, row.aggregate_id),
            or_dash(row.aggregate_version),
            row.state.as_str().to_owned(),
            row.attempts.to_string(),
            or_dash(moment(row.occurred_at).map(time)),
            or_dash(row.last_error.as_deref()),
        ]);
    }
    table.to_string()
}
