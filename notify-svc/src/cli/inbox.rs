//! `notify-svc inbox show`: whether an event has had its effect.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use runtime::operator::table::{fields, or_dash};
use runtime::operator::{LookConfig, time};
use schema::aggregate::AggregateId;
use schema::ids::EventId;
use serde::Serialize;
use uuid::Uuid;

use crate::store::inbox;

/// What to do with the inbox.
#[derive(Debug, Subcommand)]
pub enum InboxVerb {
    /// Tell whether an event has had its effect; exits 1 if it has not.
    Show(ShowConfig),
}

impl InboxVerb {
    /// What it needs of every verb.
    pub fn look(&self) -> &LookConfig {
        let Self::Show(config) = self;
        &config.look
    }
}

/// Settings of `inbox show`.
#[derive(Debug, Args)]
pub struct ShowConfig {
    /// The event: its ce-id, the outbox's event_id.
    pub event_id: Uuid,

    /// See [`LookConfig`].
    #[command(flatten)]
    pub look: LookConfig,
}

#[derive(Serialize)]
struct Row {
    event_id: Uuid,
    event_type: String,
    order_id: AggregateId,
    version: Option<u32>,
    stream_sequence: u64,
    received_at: chrono::DateTime<chrono::Utc>,
}

/// Prints the event's row.
///
/// # Errors
/// If the database can't be read.
pub async fn inbox(verb: InboxVerb) -> anyhow::Result<ExitCode> {
    let InboxVerb::Show(ShowConfig { event_id, look }) = verb;
    let pool = look.pool()?;
    let row = inbox::show(&pool, EventId(event_id)).await.context("reading the inbox")?;
    let row =
        row.with_context(|| format!("event {event_id} has had no effect here, or so long ago that its row is purged"))?;
    let row = Row {
        event_id,
        event_type: row.event_type,
        order_id: row.aggregate_id,
        version: row.aggregate_version,
        stream_sequence: row.stream_sequence,
        received_at: row.received_at,
    };
    look.print(&row, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(row: &Row) -> String {
    fields(&[
        ("event", row.event_id.to_string()),
        ("type", row.event_type.clone()),
        ("order", row.order_id.to_string()),
        ("version", or_dash(row.version)),
        ("sequence", row.stream_sequence.to_string()),
        ("received", time(row.received_at)),
    ])
}
