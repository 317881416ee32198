//! `inbox_waiting`: who waits ahead of its turn, and since when. Told to operators; nothing is decided by it.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::ids::EventId;
use schema::names;
use uuid::Uuid;

use super::inbox_gate::Step;
use crate::message::Message;

/// Where counting stops: nobody waits for a count of millions.
const COUNT_MAX: u32 = 100_000;

/// An event that waits, and for what.
#[derive(Clone, Debug)]
pub struct Gap {
    /// The order.
    pub aggregate_id: Uuid,
    /// The version that has to come first.
    pub missing_version: u32,
    /// The version that waits.
    pub waiting_version: u32,
    /// The event that waits.
    pub event_id: EventId,
    /// Its place in the stream.
    pub stream_sequence: u64,
    /// How often it was sent back.
    pub deliveries: u32,
    /// When it was sent back first.
    pub since: DateTime<Utc>,
}

/// Notes that an event was sent back. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn note(pool: &Pool, step: Step<'_>, event_id: EventId, message: &Message) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO inbox_waiting (consumer, aggregate_type, aggregate_id, aggregate_version, event_id, stream_seq,
                                    deliveries)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE deliveries = VALUES(deliveries), event_id = VALUES(event_id),
                                 stream_seq = VALUES(stream_seq)",
        names::NOTIFY_DURABLE,
        step.aggregate_type,
        step.aggregate_id,
        step.version.get(),
        event_id,
        message.stream_sequence,
        message.deliveries,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Forgets the events that wait no longer, because their order's gate has passed them. Locks their rows and the gates'.
///
/// # Errors
/// Any fault.
pub async fn sweep(pool: &Pool) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE w
         FROM inbox_waiting AS w
         JOIN inbox_gate AS g
              ON g.consumer = w.consumer AND g.aggregate_type = w.aggregate_type AND g.aggregate_id = w.aggregate_id
         WHERE w.consumer = ? AND w.aggregate_version <= g.version",
        names::NOTIFY_DURABLE,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The events that have waited longest. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn gaps(pool: &Pool, gaps_max: u32) -> sqlx::Result<Vec<Gap>> {
    sqlx::query_as!(
        Gap,
        r#"SELECT w.aggregate_id AS "aggregate_id: Uuid",
                  CAST(COALESCE(g.version, 0) + 1 AS UNSIGNED) AS "missing_version!: u32",
                  w.aggregate_version AS waiting_version, w.event_id AS "event_id: EventId",
                  w.stream_seq AS stream_sequence, w.deliveries, w.since AS "since: DateTime<Utc>"
           FROM inbox_waiting AS w
           LEFT JOIN inbox_gate AS g
                  ON g.consumer = w.consumer AND g.aggregate_type = w.aggregate_type AND g.aggregate_id = w.aggregate_id
           WHERE w.consumer = ? AND w.aggregate_version > COALESCE(g.version, 0)
           ORDER BY w.since
           LIMIT ?"#,
        names::NOTIFY_DURABLE,
        gaps_max,
    )
    .fetch_all(pool)
    .await
}

/// The eldest version of an order that waits, above the one at which its gate stands. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn eldest(tx: &mut Transaction, order_id: Uuid, stands_at: u32) -> sqlx::Result<Option<u32>> {
    sqlx::query_scalar!(
        "SELECT aggregate_version
         FROM inbox_waiting
         WHERE consumer = ? AND aggregate_type = ? AND aggregate_id = ? AND aggregate_version > ?
         ORDER BY aggregate_version
         LIMIT 1",
        names::NOTIFY_DURABLE,
        names::ORDER,
        order_id,
        stands_at,
    )
    .fetch_optional(&mut **tx)
    .await
}

/// How many events wait, counted up to a hundred thousand. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "events!: i64"
           FROM (SELECT 1 FROM inbox_waiting WHERE consumer = ? LIMIT ?) AS counted"#,
        names::NOTIFY_DURABLE,
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}
