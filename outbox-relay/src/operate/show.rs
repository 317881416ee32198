//! `outbox-relay event show`: all there is to know of one event.

use std::process::ExitCode;

use anyhow::Context;
use runtime::exit::NotFound;
use runtime::mask;
use runtime::terminal::one_line;
use serde::Serialize;
use uuid::Uuid;

use crate::store::column::moment;
use crate::store::discarded::{self, DiscardedRow};
use crate::store::outbox_view::{self, ShownRow};
use runtime::operator::CommonConfig;
use runtime::operator::table::or_dash;

/// Characters of a payload that a person is shown.
const PAYLOAD_SHOWN: usize = 2_000;

/// Settings of `show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// Id of the event.
    pub event: Uuid,
}

#[derive(Serialize)]
struct Shown {
    event: Option<ShownRow>,
    /// What it was, if a person gave it up.
    discarded: Vec<DiscardedRow>,
}

/// Prints the event and, if it was discarded, what it was.
///
/// # Errors
/// If there is no such event, or the database can't be read.
pub async fn show(config: ShowConfig) -> anyhow::Result<ExitCode> {
    let pool = config.common.pool().await?;
    let event = outbox_view::show(&pool, config.event).await.context("reading the outbox")?;
    let discarded = discarded::of_event(&pool, config.event).await.context("reading outbox_discarded")?;
    let id = config.event;
    anyhow::ensure!(
        event.is_some() || !discarded.is_empty(),
        NotFound(format!("there is no event {id}: never written, or purged"))
    );
    config.common.print(&Shown { event, discarded }, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(shown: &Shown) -> String {
    let mut text = shown.event.as_ref().map(event).unwrap_or_default();
    for record in &shown.discarded {
        text.push_str(&format!(
            "discarded      {} by {}: {}\n  was          {} of {}/{} version {}, to {}\n  dead because {}\n  payload      {}\n",
            record.discarded_at,
            one_line(&record.discarded_by),
            one_line(&record.reason),
            one_line(&record.event_type),
            one_line(&record.aggregate_type),
            one_line(&record.aggregate_id),
            or_dash(record.aggregate_version),
            one_line(&record.subject),
            one_line(&or_dash(record.last_error.as_deref())),
            payload(&record.payload.0),
        ));
    }
    text
}

fn event(row: &ShownRow) -> String {
    let kind = if row.discarded_at.is_some() { " (a tombstone)" } else { "" };
    let lines = [
        ("event", format!("{}{kind}", row.event_id)),
        ("type", row.event_type.clone()),
        ("aggregate", format!("{}/{}", row.aggregate_type, row.aggregate_id)),
        ("version", or_dash(row.aggregate_version)),
        ("occurred at", or_dash(moment(row.occurred_at))),
        ("seq", row.seq.to_string()),
        ("state", row.state.as_str().to_owned()),
        ("attempts", row.attempts.to_string()),
        ("next attempt", or_dash(row.next_attempt_at)),
        ("last error", or_dash(row.last_error.as_deref())),
        ("published at", or_dash(row.published_at)),
        ("stream seq", or_dash(row.stream_seq)),
        ("lost", format!("{} times by the broker", row.heal_epoch)),
        ("subject", row.subject.clone()),
        ("headers", or_dash(row.headers.as_ref().map(|headers| &*headers.0))),
        ("payload", payload(&row.payload.0)),
    ];
    lines.iter().map(|(name, value)| format!("{name:<14} {}\n", one_line(value))).collect()
}

fn payload(text: &str) -> String {
    let mut shown: String = text.chars().take(PAYLOAD_SHOWN).collect();
    if shown.len() < text.len() {
        // What is cut within an address would not be known for one.
        shown.truncate(shown.rfind(mask::ends_word).unwrap_or_default());
        shown.push_str(&format!("... ({} bytes; --json prints all)", text.len()));
    }
    one_line(&shown)
}
