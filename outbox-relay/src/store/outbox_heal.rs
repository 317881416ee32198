//! The table `outbox`: published events, to be compared with the stream, and those that it lost.
//!
//! A window is read by the index `claim`, so its cost is the same at ten thousand rows and at ten million.

use std::time::Duration;

use runtime::mysql::Pool;
use schema::names::OUTBOX_LEASE;
use sqlx::types::Json;
use uuid::Uuid;

/// A published event, as far as it matters whether the stream still has it.
#[derive(Debug)]
pub struct PublishedRow {
    pub seq: u64,
    pub event_id: Uuid,
    pub heal_epoch: u32,
    pub is_tombstone: bool,
    pub stream_seq: u64,
    /// Whether the stream has had it for longer than it keeps anything.
    pub is_expired: bool,
}

/// Where the window of the newest `limit` published events up to `last` begins; none if there are none. By the index `claim`
/// alone. Locks nothing.
pub async fn window_start(pool: &Pool, last: u64, limit: u32) -> sqlx::Result<Option<u64>> {
    sqlx::query_scalar!(
        r#"SELECT MIN(seq) AS "first: u64"
           FROM (SELECT seq
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = 'published'
                   AND seq <= ?
                 ORDER BY seq DESC
                 LIMIT ?) AS newest"#,
        last,
        limit
    )
    .fetch_one(pool)
    .await
}

/// The published events of a window whose place in the stream is above `proven`: what is proven is read by the database and
/// not sent, and so is what has no place. A `max_age` of zero lets none expire. Locks nothing.
pub async fn window(
    pool: &Pool,
    (first, last): (u64, u64),
    proven: u64,
    max_age: Duration,
) -> sqlx::Result<Vec<PublishedRow>> {
    let max_age = u64::try_from(max_age.as_micros()).unwrap_or(0);
    sqlx::query_as!(
        PublishedRow,
        r#"SELECT seq,
                  event_id AS "event_id: Uuid",
                  heal_epoch,
                  (discarded_at IS NOT NULL) AS "is_tombstone!: bool",
                  stream_seq,
                  (? > 0 AND published_at < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND) AS "is_expired!: bool"
           FROM outbox FORCE INDEX (claim)
           WHERE state = 'published'
             AND seq BETWEEN ? AND ?
             AND stream_seq > ?"#,
        max_age,
        max_age,
        first,
        last,
        proven
    )
    .fetch_all(pool)
    .await
}

/// Makes events pending that the broker acknowledged and then lost; they are published under a fresh dedup id. Locks
/// their rows.
pub async fn heal(pool: &Pool, token: &str, seqs: &[u64]) -> sqlx::Result<u64> {
    let healed = sqlx::query!(
        "UPDATE outbox
         JOIN JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list ON list.seq = outbox.seq
         SET outbox.state        = 'pending',
             outbox.heal_epoch   = outbox.heal_epoch + 1,
             outbox.published_at = '1970-01-01',
             outbox.stream_seq   = 0
         WHERE outbox.state = 'published'
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        Json(seqs),
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(healed.rows_affected())
}

/// Takes the place in the stream from events that expired in a stream that is gone: its numbers mean nothing in another.
/// Locks their rows.
pub async fn displace(pool: &Pool, token: &str, seqs: &[u64]) -> sqlx::Result<u64> {
    let displaced = sqlx::query!(
        "UPDATE outbox
         JOIN JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list ON list.seq = outbox.seq
         SET outbox.stream_seq = 0
         WHERE outbox.state = 'published'
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        Json(seqs),
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(displaced.rows_affected())
}
