//! An outbox, the stream that it is published to, and the inbox of who reads that.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use schema::aggregate::AggregateId;
use schema::envelope::Envelope;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, MySqlConnection};
use tokio::time::timeout;
use uuid::Uuid;

/// No message of a stream that is at rest takes longer.
const NEXT_WITHIN: Duration = Duration::from_secs(20);

/// An outbox and the stream that it is published to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log<'a> {
    pub(crate) outbox: &'a [OutboxEvent],
    pub(crate) stream: &'a [Message],
    /// `ce-source` of its events.
    pub(crate) source: &'static str,
    /// What they are about.
    pub(crate) aggregate_type: &'static str,
}

/// A row of `outbox`.
#[derive(Clone, Debug, FromRow)]
pub struct OutboxEvent {
    /// The event.
    pub event_id: Uuid,
    /// The order or payment.
    pub aggregate_id: AggregateId,
    /// None for a writer that keeps none.
    pub aggregate_version: Option<u32>,
    /// Such as `order.created`.
    pub event_type: String,
    /// What happened.
    pub payload: Json<Value>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// Such as `published`.
    pub state: String,
    /// Failed publishes.
    pub attempts: u32,
    /// Where the row says that the stream has it; 0 if it does not say.
    pub stream_seq: u64,
}

/// A message of the stream.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its place.
    pub sequence: u64,
    /// The subject that it was published to.
    pub subject: String,
    /// Its envelope.
    pub envelope: Envelope,
    /// Its body.
    pub payload: Value,
}

pub(super) async fn outbox(database: &mut MySqlConnection) -> sqlx::Result<Vec<OutboxEvent>> {
    let query = "SELECT event_id, aggregate_id, aggregate_version, event_type, payload, occurred_at, \
                        CAST(state AS CHAR) AS state, attempts, stream_seq \
                 FROM outbox \
                 ORDER BY seq";
    sqlx::query_as(query).fetch_all(database).await
}

pub(super) async fn inbox(database: &mut MySqlConnection, consumer: &str) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT event_id FROM inbox WHERE consumer = ?").bind(consumer).fetch_all(database).await
}

/// All messages of a stream that is at rest; those that can't be read are told in `unreadable`.
pub(super) async fn stream(
    nats: &async_nats::Client,
    name: &str,
    unreadable: &mut Vec<String>,
) -> anyhow::Result<Vec<Message>> {
    let found = read_all(nats, name, unreadable).await;
    found.with_context(|| format!("cannot read the stream {name}"))
}

async fn read_all(nats: &async_nats::Client, name: &str, unreadable: &mut Vec<String>) -> anyhow::Result<Vec<Message>> {
    let stream = jetstream::new(nats.clone()).get_stream(name).await?;
    let mut found = Vec::new();
    if stream.cached_info().state.messages == 0 {
        return Ok(found);
    }
    let last = stream.cached_info().state.last_sequence;
    let mut messages = stream.create_consumer(OrderedConfig::default()).await?.messages().await?;
    loop {
        let message = timeout(NEXT_WITHIN, messages.next()).await.context("no message came")?;
        let message = message.context("the stream's reader ended")??;
        let place = message.info().map_err(anyhow::Error::from_boxed)?;
        let (sequence, pending) = (place.stream_sequence, place.pending);
        match read_one(&message, sequence) {
            Ok(message) => found.push(message),
            Err(error) => unreadable.push(format!("message {sequence} of {name} can't be read: {error:#}")),
        }
        if sequence >= last || pending == 0 {
            return Ok(found);
        }
    }
}

fn read_one(message: &jetstream::Message, sequence: u64) -> anyhow::Result<Message> {
    let headers = message.headers.as_ref().context("it has no headers")?;
    let header = |name| headers.get(name).map(async_nats::HeaderValue::as_str);
    Ok(Message {
        sequence,
        subject: message.subject.to_string(),
        envelope: Envelope::from_headers(header)?,
        payload: serde_json::from_slice(&message.payload)?,
    })
}
