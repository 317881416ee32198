//! The table `outbox`: published events, to be compared with the stream, and those that it lost.
//!
//! A window is read by the index `claim`, so its cost is the same at ten thousand rows and at ten million. An event is changed only
//! if its id and its place in the stream are those that were compared: a number alone may be another event's after a failover.
//! SQL counts heal epochs as [`crate::heal_epoch::HealEpoch::next`] does (`the_largest_heal_epoch_is_followed_by_one_again`).

use std::time::Duration;

use runtime::mysql::Pool;
use schema::names::OUTBOX_LEASE;
use schema::sequence::{Seq, StreamSeq};
use sqlx::types::Json;
use uuid::Uuid;

use super::outbox::{PendingRow, pending_rows};
use crate::heal_epoch::HealEpoch;

/// A published event, as far as it matters whether the stream still has it.
#[derive(Debug)]
pub struct PublishedRow {
    pub seq: Seq,
    pub event_id: Uuid,
    pub heal_epoch: HealEpoch,
    pub is_tombstone: bool,
    pub stream_seq: StreamSeq,
    /// Whether the stream has had it for longer than it keeps anything.
    pub is_expired: bool,
}

impl PublishedRow {
    /// What is changed if it is lost.
    pub fn lost(&self) -> Lost {
        Lost { seq: self.seq, event_id: self.event_id, stream_seq: self.stream_seq }
    }
}

/// An event that is not in the stream where it was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    pub seq: Seq,
    pub event_id: Uuid,
    pub stream_seq: StreamSeq,
}

/// Where the window of the newest `limit` published events up to `last` begins; none if there are none. By the index `claim`
/// alone. Locks nothing.
pub async fn window_start(pool: &Pool, last: Seq, limit: u32) -> sqlx::Result<Option<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT MIN(seq) AS "first: Seq"
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

/// Where the window of the oldest `limit` published events from `first` on ends; none if there are none. By the index `claim`
/// alone. Locks nothing.
pub async fn window_end(pool: &Pool, first: Seq, limit: u32) -> sqlx::Result<Option<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT MAX(seq) AS "last: Seq"
           FROM (SELECT seq
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = 'published'
                   AND seq >= ?
                 ORDER BY seq
                 LIMIT ?) AS oldest"#,
        first,
        limit
    )
    .fetch_one(pool)
    .await
}

/// The published events of a window whose place in the stream is above `proven`: what is proven is read by the database and
/// not sent, and so is what has no place. A `max_age` of zero lets none expire. Locks nothing.
pub async fn window(
    pool: &Pool,
    (first, last): (Seq, Seq),
    proven: StreamSeq,
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

/// A lost event as it was written, with the heal epoch that it has; none if it changed meanwhile. A payload larger than
/// `payload_bytes` is not read. Locks nothing.
pub async fn lost_row(pool: &Pool, lost: Lost, payload_bytes: u64) -> sqlx::Result<Option<PendingRow>> {
    pending_rows!(
        payload_bytes,
        "FROM outbox
           WHERE event_id = ?
             AND stream_seq = ?
             AND state = 'published'",
        lost.event_id,
        lost.stream_seq
    )
    .fetch_optional(pool)
    .await
}

/// Gives a lost event that was published again its new place, and the heal epoch under which it was. Locks its row.
pub async fn settle_probe(
    pool: &Pool,
    token: &str,
    lost: Lost,
    (heal_epoch, place): (HealEpoch, StreamSeq),
) -> sqlx::Result<u64> {
    let settled = sqlx::query!(
        "UPDATE outbox
         SET outbox.heal_epoch   = ?,
             outbox.published_at = UTC_TIMESTAMP(6),
             outbox.stream_seq   = ?
         WHERE outbox.event_id = ?
           AND outbox.stream_seq = ?
           AND outbox.state = 'published'
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        heal_epoch,
        place,
        lost.event_id,
        lost.stream_seq,
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Makes events pending that the broker acknowledged and then lost; they are published under a fresh dedup id. Locks
/// their rows.
pub async fn heal(pool: &Pool, token: &str, lost: &[Lost]) -> sqlx::Result<u64> {
    let healed = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq        BIGINT UNSIGNED PATH '$[0]',
                                              event_id   CHAR(32) PATH '$[1]',
                                              stream_seq BIGINT UNSIGNED PATH '$[2]')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY) ON outbox.seq = list.seq
         SET outbox.state        = 'pending',
             outbox.heal_epoch   = outbox.heal_epoch % 4294967295 + 1,
             outbox.published_at = '1970-01-01',
             outbox.stream_seq   = 0
         WHERE outbox.state = 'published'
           AND outbox.event_id = UNHEX(list.event_id)
           AND outbox.stream_seq = list.stream_seq
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        list(lost),
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(healed.rows_affected())
}

/// Takes the place in the stream from events that expired in a stream that is gone: its numbers mean nothing in another. The
/// heal epoch tells such an event from one that no relay ever settled. Locks their rows.
pub async fn displace(pool: &Pool, token: &str, displaced: &[Lost]) -> sqlx::Result<u64> {
    let displaced = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq        BIGINT UNSIGNED PATH '$[0]',
                                              event_id   CHAR(32) PATH '$[1]',
                                              stream_seq BIGINT UNSIGNED PATH '$[2]')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY) ON outbox.seq = list.seq
         SET outbox.heal_epoch = outbox.heal_epoch % 4294967295 + 1,
             outbox.stream_seq = 0
         WHERE outbox.state = 'published'
           AND outbox.event_id = UNHEX(list.event_id)
           AND outbox.stream_seq = list.stream_seq
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        list(displaced),
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(displaced.rows_affected())
}

/// The event id as text, for the statement to read.
fn list(events: &[Lost]) -> Json<Vec<(Seq, String, StreamSeq)>> {
    Json(events.iter().map(|event| (event.seq, event.event_id.simple().to_string(), event.stream_seq)).collect())
}
