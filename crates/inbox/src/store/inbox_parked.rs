//! `inbox_parked`: events that wait, whole. `store/inbox_due.rs` has the statements that use this table as a queue.
//!
//! Relies on its callers to hold the lock of the aggregate's gate while they write rows: so who moves a gate sees all that is
//! parked behind it, and who parks an event knows that the gate stands before it.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::aggregate::AggregateId;
use schema::ids::EventId;
use serde::Serialize;
use sqlx::types::Json;
use uuid::fmt::Simple;

use super::inbox::{digest, hex};
use super::{Receipt, kept};
use crate::event::Event;
use crate::message::Message;
use crate::source::Source;

/// Where counting stops.
pub const COUNT_MAX: u32 = 10_000;

/// A version of an aggregate.
pub type Place = (AggregateId, u32);

/// An event that is parked, without its message.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The aggregate and the version.
    pub place: Place,
    /// The event.
    pub event_id: EventId,
    /// Its payload's digest.
    pub payload_sha256: [u8; 32],
}

/// What is parked under an id.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// None from a writer that keeps no versions.
    pub place: Option<Place>,
    /// Its payload's digest.
    pub payload_sha256: [u8; 32],
}

/// An event that is parked, with its message.
#[derive(Clone, Debug)]
pub struct Parked {
    /// The event.
    pub event_id: EventId,
    /// As it came.
    pub message: Message,
    /// Times that the database refused its effect.
    pub attempts: u32,
}

/// An event that is parked, for people.
#[derive(Clone, Debug)]
pub struct Gap {
    /// The aggregate.
    pub aggregate_id: AggregateId,
    /// The version that has to come first; the event's own if the database refuses its effect.
    pub missing_version: u32,
    /// The version that waits; none from a writer that keeps none.
    pub waiting_version: Option<u32>,
    /// The event that waits.
    pub event_id: EventId,
    /// Its type.
    pub event_type: String,
    /// Its place in the stream.
    pub stream_sequence: u64,
    /// Times that the database refused its effect.
    pub attempts: u32,
    /// When it was parked.
    pub since: DateTime<Utc>,
}

/// Parks events that are ahead of their turn: all of them, or none if one of the keys is taken. Locks the keys.
///
/// # Errors
/// Any fault but a taken key.
pub async fn park_all(tx: &mut Transaction, source: &Source, events: &[(&Event, &Message)]) -> sqlx::Result<Receipt> {
    let mut rows: Vec<Row<'_>> = events.iter().map(|(event, message)| Row::of(event, message)).collect();
    rows.sort_unstable_by_key(|row| row.0.into_uuid());
    let inserted = sqlx::query!(
        "INSERT INTO inbox_parked (consumer, event_id, event_type, aggregate_type, aggregate_id, aggregate_version,
                                   payload_sha256, stream_seq, stored_at, subject, headers, payload)
         SELECT ?, UNHEX(event_id), event_type, ?, aggregate_id, aggregate_version, UNHEX(payload_sha256),
                stream_seq, stored_at, subject, headers, UNHEX(payload)
         FROM JSON_TABLE(?, '$[*]' COLUMNS (event_id          CHAR(32)                           PATH '$[0]',
                                            event_type        VARCHAR(100)                       PATH '$[1]',
                                            aggregate_id      VARCHAR(64)                        PATH '$[2]',
                                            aggregate_version INT UNSIGNED                       PATH '$[3]',
                                            payload_sha256    CHAR(64)                           PATH '$[4]',
                                            stream_seq        BIGINT UNSIGNED                    PATH '$[5]',
                                            stored_at         DATETIME(6)                        PATH '$[6]',
                                            subject           VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[7]',
                                            headers           LONGTEXT CHARACTER SET utf8mb4     PATH '$[8]',
                                            payload           LONGTEXT CHARACTER SET utf8mb4     PATH '$[9]')) AS list",
        source.consumer,
        source.aggregate_type,
        Json(&rows),
    )
    .execute(&mut *tx)
    .await;
    Receipt::of(inserted)
}

/// Which of these versions are parked. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn standing(
    executor: impl sqlx::MySqlExecutor<'_>,
    source: &Source,
    places: &[Place],
) -> sqlx::Result<Vec<Standing>> {
    let rows = sqlx::query!(
        r#"SELECT p.aggregate_id AS "aggregate_id: AggregateId", list.version AS "version!: u32",
                  p.event_id AS "event_id: EventId", p.payload_sha256 AS "payload_sha256: Vec<u8>"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id VARCHAR(64) CHARACTER SET ascii PATH '$[0]',
                                              version      INT UNSIGNED                    PATH '$[1]')) AS list
           STRAIGHT_JOIN inbox_parked AS p FORCE INDEX (version)
                ON p.consumer = ? AND p.aggregate_type = ? AND p.aggregate_id = list.aggregate_id
                   AND p.aggregate_version = list.version"#,
        Json(list(places)),
        source.consumer,
        source.aggregate_type,
    )
    .fetch_all(executor)
    .await?;
    let standing = rows.into_iter().map(|row| {
        let (place, payload_sha256) = ((row.aggregate_id, row.version), digest(row.payload_sha256)?);
        Ok(Standing { place, event_id: row.event_id, payload_sha256 })
    });
    standing.collect()
}

/// What is parked under an event's id. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn with_id(tx: &mut Transaction, source: &Source, event_id: EventId) -> sqlx::Result<Option<Known>> {
    let row = sqlx::query!(
        r#"SELECT aggregate_id AS "aggregate_id: AggregateId", aggregate_version, payload_sha256 AS "payload_sha256: Vec<u8>"
           FROM inbox_parked
           WHERE consumer = ? AND event_id = ?"#,
        source.consumer,
        event_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    row.map(|row| {
        let place = row.aggregate_version.map(|version| (row.aggregate_id, version));
        Ok(Known { place, payload_sha256: digest(row.payload_sha256)? })
    })
    .transpose()
}

/// The events that are parked at these versions, whole. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn at(tx: &mut Transaction, source: &Source, places: &[Place]) -> sqlx::Result<Vec<(Place, Parked)>> {
    let rows = sqlx::query!(
        r#"SELECT p.aggregate_id AS "aggregate_id: AggregateId", list.version AS "version!: u32",
                  p.event_id AS "event_id: EventId", p.stream_seq, p.stored_at AS "stored_at: DateTime<Utc>", p.subject,
                  p.headers AS "headers: Json<Vec<(String, String)>>", p.payload, p.attempts
           FROM JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id VARCHAR(64) CHARACTER SET ascii PATH '$[0]',
                                              version      INT UNSIGNED                    PATH '$[1]')) AS list
           STRAIGHT_JOIN inbox_parked AS p FORCE INDEX (version)
                ON p.consumer = ? AND p.aggregate_type = ? AND p.aggregate_id = list.aggregate_id
                   AND p.aggregate_version = list.version"#,
        Json(list(places)),
        source.consumer,
        source.aggregate_type,
    )
    .fetch_all(&mut *tx)
    .await?;
    let parked = rows.into_iter().map(|row| {
        let message = kept::message((row.stream_seq, row.stored_at), row.subject, row.headers.0, row.payload);
        let parked = Parked { event_id: row.event_id, message, attempts: row.attempts };
        ((row.aggregate_id, row.version), parked)
    });
    Ok(parked.collect())
}

/// Forgets events that have had their effect, or were moved to `inbox_dead`. Locks their rows.
///
/// # Errors
/// Any fault.
pub async fn remove_all(tx: &mut Transaction, source: &Source, event_ids: &[EventId]) -> sqlx::Result<()> {
    let ids: Vec<Simple> = event_ids.iter().map(|id| id.0.simple()).collect();
    sqlx::query!(
        "DELETE p
         FROM JSON_TABLE(?, '$[*]' COLUMNS (event_id CHAR(32) PATH '$')) AS list
         STRAIGHT_JOIN inbox_parked AS p ON p.consumer = ? AND p.event_id = UNHEX(list.event_id)",
        Json(ids),
        source.consumer,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The lowest version of an aggregate that is parked, above the one at which its gate stands. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn first(
    tx: &mut Transaction,
    source: &Source,
    order_id: AggregateId,
    stands_at: u32,
) -> sqlx::Result<Option<u32>> {
    sqlx::query_scalar!(
        r#"SELECT aggregate_version AS "version!: u32"
           FROM inbox_parked
           WHERE consumer = ? AND aggregate_type = ? AND aggregate_id = ? AND aggregate_version > ?
           ORDER BY aggregate_version
           LIMIT 1"#,
        source.consumer,
        source.aggregate_type,
        order_id,
        stands_at,
    )
    .fetch_optional(&mut *tx)
    .await
}

/// The events that have been parked longest. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn gaps(pool: &Pool, source: &Source, gaps_max: u32) -> sqlx::Result<Vec<Gap>> {
    sqlx::query_as!(
        Gap,
        r#"SELECT p.aggregate_id AS "aggregate_id: AggregateId",
                  CAST(COALESCE(g.version, 0) + 1 AS UNSIGNED) AS "missing_version!: u32",
                  p.aggregate_version AS waiting_version, p.event_id AS "event_id: EventId", p.event_type,
                  p.stream_seq AS stream_sequence, p.attempts, p.parked_at AS "since: DateTime<Utc>"
           FROM inbox_parked AS p FORCE INDEX (parked_at)
           LEFT JOIN inbox_gate AS g
                  ON g.consumer = p.consumer AND g.aggregate_type = p.aggregate_type AND g.aggregate_id = p.aggregate_id
           WHERE p.consumer = ?
           ORDER BY p.parked_at
           LIMIT ?"#,
        source.consumer,
        gaps_max,
    )
    .fetch_all(pool)
    .await
}

/// How many events are parked, counted up to [`COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count(pool: &Pool, source: &Source) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "events!: i64"
           FROM (SELECT 1 FROM inbox_parked WHERE consumer = ? LIMIT ?) AS counted"#,
        source.consumer,
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// Sorted, so that replicas lock in the same order.
pub(super) fn list(places: &[Place]) -> Vec<Place> {
    let mut rows = places.to_vec();
    rows.sort_unstable();
    rows
}

/// One row, in the order of the columns of [`park_all`].
#[derive(Serialize)]
struct Row<'a>(Simple, &'a str, AggregateId, Option<u32>, String, u64, String, String, String, String);

impl<'a> Row<'a> {
    fn of(event: &'a Event, message: &Message) -> Self {
        let envelope = &event.envelope;
        let (subject, headers) = kept::subject_and_headers(message);
        Self(
            envelope.event_id.0.simple(),
            &envelope.event_type,
            envelope.aggregate_id,
            envelope.aggregate_version.map(std::num::NonZeroU32::get),
            hex(&event.payload_sha256),
            message.stream_sequence,
            message.stored_at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
            subject,
            serde_json::Value::from_iter(headers.into_iter().map(|(name, value)| vec![name, value])).to_string(),
            hex(&message.payload),
        )
    }
}
