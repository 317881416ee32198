//! `notify-svc inbox show`: whether an event has had its effect.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use runtime::operator::{LookConfig, time};
use runtime::terminal::one_line as plain;
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
    order_id: Uuid,
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
    let Some(row) = inbox::show(&pool, EventId(event_id)).await.context("reading the inbox")? else {
        eprintln!("event {event_id} has had no effect here, or so long ago that its row is purged");
        return Ok(ExitCode::FAILURE);
    };
    let row = Row {
        event_id,
        event_type: row.event_type,
        order_id: row.aggregate_id,
        version: row.aggregate_version,
        stream_sequence: row.stream_sequence,
        received_at: row.received_at,
    };
    look.print(&row, table)?;
    Ok(ExitCode::SUCCESS)
}

fn table(row: &Row) -> String {
    let version = row.version.map_or("-".to_owned(), |version| version.to_string());
    format!(
        "event     {}\ntype      {}\norder     {}\nversion   {version}\nsequence  {}\nreceived  {}\n",
        row.event_id,
        plain(&row.event_type),
        row.order_id,
        row.stream_sequence,
        time(row.received_at),
    )
}
