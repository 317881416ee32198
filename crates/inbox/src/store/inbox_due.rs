//! `inbox_parked` as a queue: events that may be tried now, because their gate has moved without them (a transaction takes
//! a bounded number along) or because the database refused their effect before.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::aggregate::AggregateId;
use schema::ids::EventId;
use sqlx::types::Json;

use super::inbox_parked::{Parked, Place, list};
use super::{Receipt, kept};
use crate::event::Event;
use crate::message::Message;
use crate::source::Source;

/// An event that is due, and its aggregate.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// The event.
    pub event_id: EventId,
    /// The aggregate whose gate is to be held.
    pub aggregate_id: AggregateId,
}

/// When a parked event is tried.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    attempts: u32,
    pause: Option<Duration>,
}

impl Again {
    /// When its gate stands before it.
    pub const fn when_it_is_next() -> Self {
        Self { attempts: 0, pause: None }
    }

    /// After a pause; the database has refused its effect.
    pub const fn after_attempt(pause: Duration) -> Self {
        Self { attempts: 1, pause: Some(pause) }
    }

    /// After a pause; nobody has refused it.
    pub const fn without_attempt(pause: Duration) -> Self {
        Self { attempts: 0, pause: Some(pause) }
    }
}

/// Parks one event, of any size: it is tried again after a pause, or when its turn comes. A duplicate if the event or its
/// version is parked already. Locks the keys.
///
/// # Errors
/// Any fault but a taken key.
pub async fn park(
    tx: &mut Transaction,
    source: &Source,
    event: &Event,
    message: &Message,
    again: Again,
) -> sqlx::Result<Receipt> {
    let (subject, headers) = kept::subject_and_headers(message);
    let inserted = sqlx::query!(
        "INSERT INTO inbox_parked (consumer, event_id, event_type, aggregate_type, aggregate_id, aggregate_version,
                                   payload_sha256, stream_seq, stored_at, subject, headers, payload, attempts, due_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)",
        source.consumer,
        event.envelope.event_id,
        event.envelope.event_type,
        source.aggregate_type,
        event.envelope.aggregate_id,
        event.envelope.aggregate_version.map(std::num::NonZeroU32::get),
        event.payload_sha256.as_slice(),
        message.stream_sequence,
        message.stored_at,
        subject,
        Json(headers),
        message.payload.as_ref(),
        again.attempts,
        again.pause.map(microseconds),
    )
    .execute(&mut *tx)
    .await;
    Receipt::of(inserted)
}

/// What is due, the longest first. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn due(pool: &Pool, source: &Source, rows_max: u32) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"SELECT event_id AS "event_id: EventId", aggregate_id AS "aggregate_id: AggregateId"
           FROM inbox_parked FORCE INDEX (due)
           WHERE consumer = ? AND due_at <= UTC_TIMESTAMP(6)
           ORDER BY due_at
           LIMIT ?"#,
        source.consumer,
        rows_max,
    )
    .fetch_all(pool)
    .await
}

/// A parked event, if it still is. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn open(tx: &mut Transaction, source: &Source, event_id: EventId) -> sqlx::Result<Option<Parked>> {
    let row = sqlx::query!(
        r#"SELECT stream_seq, stored_at AS "stored_at: DateTime<Utc>", subject,
                  headers AS "headers: Json<Vec<(String, String)>>", payload, attempts
           FROM inbox_parked
           WHERE consumer = ? AND event_id = ?
           FOR UPDATE"#,
        source.consumer,
        event_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(row.map(|row| Parked {
        event_id,
        message: kept::message((row.stream_seq, row.stored_at), row.subject, row.headers.0, row.payload),
        attempts: row.attempts,
    }))
}

/// Makes the events that are parked at these versions due now. Locks their rows.
///
/// # Errors
/// Any fault.
pub async fn mark(tx: &mut Transaction, source: &Source, places: &[Place]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id VARCHAR(64) CHARACTER SET ascii PATH '$[0]',
                                              version      INT UNSIGNED                    PATH '$[1]')) AS list
         STRAIGHT_JOIN inbox_parked AS p FORCE INDEX (version)
              ON p.consumer = ? AND p.aggregate_type = ? AND p.aggregate_id = list.aggregate_id
                 AND p.aggregate_version = list.version
         SET p.due_at = UTC_TIMESTAMP(6)",
        Json(list(places)),
        source.consumer,
        source.aggregate_type,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Has the event tried again after a pause, and counts no attempt. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn postpone(pool: &Pool, source: &Source, event_id: EventId, pause: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE inbox_parked
         SET due_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE consumer = ? AND event_id = ?",
        microseconds(pause),
        source.consumer,
        event_id,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Counts an attempt and has the event tried again after a pause. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn put_off(tx: &mut Transaction, source: &Source, event_id: EventId, pause: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE inbox_parked
         SET attempts = attempts + 1, due_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE consumer = ? AND event_id = ?",
        microseconds(pause),
        source.consumer,
        event_id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Has an event wait for its gate again: it is not its turn. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn rest(tx: &mut Transaction, source: &Source, event_id: EventId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE inbox_parked SET due_at = NULL WHERE consumer = ? AND event_id = ?",
        source.consumer,
        event_id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

fn microseconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_micros()).unwrap_or(u64::MAX)
}
