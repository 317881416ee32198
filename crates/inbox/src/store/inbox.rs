//! `inbox`: which events have had their effect.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::aggregate::AggregateId;
use schema::ids::EventId;
use serde::Serialize;
use sqlx::types::Json;
use uuid::fmt::Simple;

use super::Receipt;
use crate::event::Event;
use crate::source::Source;

/// An event that is recorded, and what the inbox knows of its payload.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// The event.
    pub event_id: EventId,
    /// Its payload's digest.
    pub payload_sha256: [u8; 32],
}

/// Records an event in the transaction of its effect. Locks the event's key until the transaction ends: another
/// process with the same event waits here, then learns that it is a duplicate.
///
/// # Errors
/// Any fault but a taken key.
pub async fn record(
    tx: &mut Transaction,
    source: &Source,
    event: &Event,
    stream_sequence: u64,
) -> sqlx::Result<Receipt> {
    record_all(tx, source, &[(event, stream_sequence)]).await
}

/// As [`record`], for many events with their places in the stream: all of them, or none if one of the keys is taken.
/// Locks the keys in the order of the event ids.
///
/// # Errors
/// Any fault but a taken key.
pub async fn record_all(tx: &mut Transaction, source: &Source, events: &[(&Event, u64)]) -> sqlx::Result<Receipt> {
    let mut rows: Vec<Row<'_>> = events.iter().map(|(event, sequence)| Row::of(event, *sequence)).collect();
    rows.sort_unstable_by_key(|row| row.0.into_uuid());
    let inserted = sqlx::query!(
        "INSERT INTO inbox (consumer, event_id, event_type, aggregate_type, aggregate_id, aggregate_version,
                            payload_sha256, stream_seq)
         SELECT ?, UNHEX(event_id), event_type, aggregate_type, aggregate_id, aggregate_version,
                UNHEX(payload_sha256), stream_seq
         FROM JSON_TABLE(?, '$[*]' COLUMNS (event_id          CHAR(32)        PATH '$[0]',
                                            event_type        VARCHAR(100)    PATH '$[1]',
                                            aggregate_type    VARCHAR(64)     PATH '$[2]',
                                            aggregate_id      VARCHAR(64)     PATH '$[3]',
                                            aggregate_version INT UNSIGNED    PATH '$[4]',
                                            payload_sha256    CHAR(64)        PATH '$[5]',
                                            stream_seq        BIGINT UNSIGNED PATH '$[6]')) AS list",
        source.consumer,
        Json(&rows),
    )
    .execute(&mut *tx)
    .await;
    Receipt::of(inserted)
}

/// Which of these events are recorded. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn recorded(
    executor: impl sqlx::MySqlExecutor<'_>,
    source: &Source,
    event_ids: &[EventId],
) -> sqlx::Result<Vec<Recorded>> {
    let ids: Vec<Simple> = event_ids.iter().map(|id| id.0.simple()).collect();
    let rows = sqlx::query!(
        r#"SELECT inbox.event_id AS "event_id: EventId", inbox.payload_sha256 AS "payload_sha256: Vec<u8>"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (event_id CHAR(32) PATH '$')) AS list
           JOIN inbox ON inbox.consumer = ? AND inbox.event_id = UNHEX(list.event_id)"#,
        Json(ids),
        source.consumer,
    )
    .fetch_all(executor)
    .await?;
    let recorded = rows
        .into_iter()
        .map(|row| Ok(Recorded { event_id: row.event_id, payload_sha256: digest(row.payload_sha256)? }));
    recorded.collect()
}

/// The digest that is recorded for an event whose key turned out to be taken. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn payload_sha256(
    tx: &mut Transaction,
    source: &Source,
    event_id: EventId,
) -> sqlx::Result<Option<[u8; 32]>> {
    let found = sqlx::query_scalar!(
        r#"SELECT payload_sha256 AS "payload_sha256: Vec<u8>"
           FROM inbox
           WHERE consumer = ? AND event_id = ?"#,
        source.consumer,
        event_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    found.map(digest).transpose()
}

/// The lowest place in the stream, none above `highest`, among those of the thousand events that were received last. By the
/// index `received`. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn lowest_of_latest(pool: &Pool, source: &Source, highest: u64) -> sqlx::Result<Option<u64>> {
    let latest = sqlx::query_scalar!(
        "SELECT stream_seq
         FROM inbox FORCE INDEX (received)
         WHERE consumer = ?
         ORDER BY received_at DESC
         LIMIT 1000",
        source.consumer,
    )
    .fetch_all(pool)
    .await?;
    Ok(latest.into_iter().filter(|sequence| *sequence <= highest).min())
}

/// Which event is recorded for a version of an aggregate: distinguishes a repeat from another event with a used version. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn event_of(
    tx: &mut Transaction,
    source: &Source,
    order_id: AggregateId,
    version: u32,
) -> sqlx::Result<Option<EventId>> {
    sqlx::query_scalar!(
        r#"SELECT event_id AS "event_id: EventId"
           FROM inbox FORCE INDEX (version)
           WHERE aggregate_id = ? AND aggregate_version = ? AND consumer = ? AND aggregate_type = ?
           LIMIT 1"#,
        order_id,
        version,
        source.consumer,
        source.aggregate_type,
    )
    .fetch_optional(&mut *tx)
    .await
}

/// An event's row, for people.
#[derive(Clone, Debug)]
pub struct InboxRow {
    /// For example `order.created`.
    pub event_type: String,
    /// The aggregate.
    pub aggregate_id: AggregateId,
    /// None from a writer that keeps none.
    pub aggregate_version: Option<u32>,
    /// Its place in the stream when it was first received.
    pub stream_sequence: u64,
    /// When it was recorded.
    pub received_at: DateTime<Utc>,
}

/// An event's row. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn show(pool: &Pool, source: &Source, event_id: EventId) -> sqlx::Result<Option<InboxRow>> {
    sqlx::query_as!(
        InboxRow,
        r#"SELECT event_type, aggregate_id AS "aggregate_id: AggregateId", aggregate_version, stream_seq AS stream_sequence,
                  received_at AS "received_at: DateTime<Utc>"
           FROM inbox
           WHERE consumer = ? AND event_id = ?"#,
        source.consumer,
        event_id,
    )
    .fetch_optional(pool)
    .await
}

/// Deletes the oldest rows that were received longer ago than this, and says how many. The index `received` finds them
/// at any size of the table. Locks them.
///
/// # Errors
/// Any fault.
pub async fn purge(pool: &Pool, source: &Source, age_min: Duration, rows_max: u32) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        // A DELETE of one table takes no index for granted: left to themselves, the servers walk the whole primary key.
        "DELETE i
         FROM (SELECT event_id
               FROM inbox FORCE INDEX (received)
               WHERE consumer = ? AND received_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
               ORDER BY received_at
               LIMIT ?) AS old
         STRAIGHT_JOIN inbox AS i ON i.consumer = ? AND i.event_id = old.event_id",
        source.consumer,
        age_min.as_secs(),
        rows_max,
        source.consumer,
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

/// One row, in the order of the columns of [`record_all`].
#[derive(Serialize)]
struct Row<'a>(Simple, &'a str, &'a str, AggregateId, Option<u32>, String, u64);

impl<'a> Row<'a> {
    fn of(event: &'a Event, stream_sequence: u64) -> Self {
        let envelope = &event.envelope;
        Self(
            envelope.event_id.0.simple(),
            &envelope.event_type,
            &envelope.aggregate_type,
            envelope.aggregate_id,
            envelope.aggregate_version.map(NonZeroU32::get),
            hex(&event.payload_sha256),
            stream_sequence,
        )
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

pub(super) fn digest(bytes: Vec<u8>) -> sqlx::Result<[u8; 32]> {
    bytes.try_into().map_err(|_| sqlx::Error::Decode("payload_sha256 is not 32 bytes".into()))
}
