//! The table `outbox`, as a writer sees it: append, and read one order's events. What happens to an event afterwards is
//! outbox-relay's, and the grants of our user say so too.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::event::OrderEvent;
use schema::ids::{EventId, OrderId};
use schema::names;
use sqlx::{query, query_as, query_scalar};

use super::Receipt;
use super::transaction::TransactionError;
use crate::config::EventBytesMax;
use crate::domain::{NewEvent, VERSIONS_SKIPPED_MAX, message_bytes_max};

/// Where [`story`] stops: orders have two events, foreign writers might append more.
const STORY_MAX: u32 = 100;

/// Appends an event to the outbox. Takes a transaction, because an event must commit with what it is about. Locks its
/// row, which nobody can see yet, and never the end of the table.
///
/// # Errors
/// [`TransactionError::EventTooLarge`] before the broker would have to refuse it, when it is too late;
/// [`TransactionError::VersionTaken`] if another writer was faster; else as the database has it.
#[tracing::instrument(
    name = "outbox.append",
    level = "debug",
    skip_all,
    fields(
        event.id = %event.id,
        event.r#type = %event.event.event_type(),
        aggregate.id = %event.event.order_id(),
    ),
)]
pub async fn append(tx: &mut Transaction, event: &NewEvent, limit: EventBytesMax) -> Result<(), TransactionError> {
    let event_type = event.event.event_type().as_str();
    let (payload, headers) = (payload(&event.event)?, headers(event)?);
    let bytes = message_bytes_max(&payload, headers.as_deref());
    if bytes > limit.get() {
        return Err(TransactionError::EventTooLarge { bytes, limit });
    }
    let inserted = query!(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject,
                             payload, headers, occurred_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        event.id,
        names::ORDER,
        event.event.order_id(),
        event.aggregate_version.get(),
        event_type,
        event_type,
        payload,
        headers,
        event.occurred_at,
    )
    .execute(&mut **tx)
    .await;
    match Receipt::of(inserted)? {
        Receipt::First => Ok(()),
        Receipt::Duplicate => Err(TransactionError::VersionTaken),
    }
}

/// The versions after `version` that events of the order have already, in order: at most
/// [`VERSIONS_SKIPPED_MAX`], by the index `aggregate`. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn versions_after(tx: &mut Transaction, id: OrderId, version: NonZeroU32) -> sqlx::Result<Vec<u32>> {
    query_scalar!(
        r#"SELECT aggregate_version AS "aggregate_version!"
           FROM outbox
           WHERE aggregate_type = ?
             AND aggregate_id = ?
             AND aggregate_version > ?
           ORDER BY aggregate_version
           LIMIT ?"#,
        names::ORDER,
        id,
        version.get(),
        VERSIONS_SKIPPED_MAX,
    )
    .fetch_all(&mut **tx)
    .await
}

fn payload(event: &OrderEvent) -> sqlx::Result<String> {
    event.payload().map_err(|error| sqlx::Error::Encode(error.into()))
}

/// The headers that the event brings along, beside those that the envelope makes of its columns.
fn headers(event: &NewEvent) -> sqlx::Result<Option<String>> {
    let Some(traceparent) = &event.traceparent else { return Ok(None) };
    let headers = BTreeMap::from([(names::TRACEPARENT_HEADER, traceparent.as_str())]);
    serde_json::to_string(&headers).map(Some).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// An event of an order, and what became of it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its identity.
    pub event_id: EventId,
    /// The order's version that it made; none if a foreign writer keeps none.
    pub aggregate_version: Option<u32>,
    /// What happened.
    pub event_type: String,
    /// pending, published, held or dead.
    pub state: String,
    /// Failed publishes that were its own fault.
    pub attempts: u32,
    /// Why it could not be published.
    pub last_error: Option<String>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When it is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When its PubAck was settled.
    pub published_at: Option<DateTime<Utc>>,
    /// Its place in the stream.
    pub stream_seq: Option<u64>,
}

/// Reads the first hundred events of an order in version order, by the index `aggregate`. An event to which another writer
/// gave no date, such as `0000-00-00`, is of 1970. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn story(pool: &Pool, id: OrderId) -> sqlx::Result<Vec<StoredEvent>> {
    query_as!(
        StoredEvent,
        r#"SELECT event_id AS "event_id: EventId", aggregate_version, event_type, state, attempts, last_error,
                  IF(MONTH(occurred_at) > 0 AND DAYOFMONTH(occurred_at) > 0,
                     occurred_at, TIMESTAMP '1970-01-01 00:00:00') AS "occurred_at!: DateTime<Utc>",
                  next_attempt_at AS "next_attempt_at: DateTime<Utc>",
                  NULLIF(published_at, '1970-01-01') AS "published_at?: DateTime<Utc>",
                  NULLIF(stream_seq, 0) AS "stream_seq?: u64"
           FROM outbox
           WHERE aggregate_type = ?
             AND aggregate_id = ?
           ORDER BY aggregate_version
           LIMIT ?"#,
        names::ORDER,
        id,
        STORY_MAX,
    )
    .fetch_all(pool)
    .await
}
