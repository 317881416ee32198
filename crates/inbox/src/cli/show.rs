//! `inbox show`: whether an event has had its effect.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use runtime::exit::NotFound;
use runtime::operator::table::{fields, or_dash};
use runtime::operator::{CommonConfig, time};
use schema::aggregate::AggregateId;
use schema::ids::EventId;
use serde::Serialize;
use uuid::Uuid;

use crate::handler::Handler;
use crate::process::Inbox;
use crate::store::inbox;

/// What to do with the inbox.
#[derive(Debug, Subcommand)]
pub enum ShowVerb {
    /// Tell whether an event has had its effect; exits 3 if it has not.
    Show(ShowConfig),
}

impl ShowVerb {
    /// What it needs of every verb.
    pub fn common(&self) -> &CommonConfig {
        let Self::Show(config) = self;
        &config.common
    }
}

/// Settings of `inbox show`.
#[derive(Debug, Args)]
pub struct ShowConfig {
    /// The event: its ce-id, the outbox's event_id.
    pub event_id: Uuid,

    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,
}

#[derive(Serialize)]
struct Row {
    event_id: Uuid,
    event_type: String,
    aggregate_id: AggregateId,
    version: Option<u32>,
    stream_sequence: u64,
    received_at: chrono::DateTime<chrono::Utc>,
}

/// Prints the event's row.
///
/// # Errors
/// If the database can't be read.
pub(super) async fn show<H: Handler>(
    ShowVerb::Show(ShowConfig { event_id, common }): ShowVerb,
    inbox: &Inbox<H>,
) -> anyhow::Result<ExitCode> {
    let row = inbox::show(&inbox.pool, &inbox.source, EventId(event_id)).await.context("reading the inbox")?;
    let row = row.ok_or_else(|| {
        NotFound(format!("event {event_id} has had no effect here, or so long ago that its row is purged"))
    })?;
    let row = Row {
        event_id,
        event_type: row.event_type,
        aggregate_id: row.aggregate_id,
        version: row.aggregate_version,
        stream_sequence: row.stream_sequence,
        received_at: row.received_at,
    };
    common.print(&row, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(row: &Row) -> String {
    fields(&[
        ("event", row.event_id.to_string()),
        ("type", row.event_type.clone()),
        ("aggregate", row.aggregate_id.to_string()),
        ("version", or_dash(row.version)),
        ("sequence", row.stream_sequence.to_string()),
        ("received", time(row.received_at)),
    ])
}
