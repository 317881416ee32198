//! The table `outbox`: claim, which reads the next pending events. Settles, which write the outcomes back, are in
//! `outbox_settle.rs`.
//!
//! Claiming locks nothing: the lease makes this relay the only one that settles, and no row lock is held while the
//! broker is asked.

use futures::{Stream, TryStreamExt};
use runtime::mysql::{Pool, PooledConnection};
use schema::sequence::{Seq, StreamSeq};
use uuid::Uuid;

use super::column::{JsonText, Moment};
use super::outbox_settle::Key;
use crate::heal_epoch::HealEpoch;

/// A pending row as it was written, faulty ones included.
#[derive(Debug)]
pub struct PendingRow {
    pub seq: Seq,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_version: Option<u32>,
    pub event_type: String,
    pub subject: String,
    /// None if it is larger than the broker takes: such a one is not worth the memory.
    pub payload: Option<JsonText>,
    pub payload_bytes: u64,
    /// None also if they are larger than any broker takes.
    pub headers: Option<JsonText>,
    pub headers_bytes: u64,
    pub occurred_at: Option<Moment>,
    pub attempts: u32,
    pub heal_epoch: HealEpoch,
    /// A person gave the event up: a tombstone is published in its place.
    pub is_discarded: bool,
    /// Since it was inserted, when it was read; both by the database clock.
    pub waited_us: i64,
    /// Whether occurred_at is more than an hour away from when it was inserted.
    pub is_far_off: bool,
}

impl PendingRow {
    /// What a settle of it names.
    pub fn key(&self) -> Key {
        Key { seq: self.seq, event_id: self.event_id }
    }

    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        let texts = [&self.payload, &self.headers].into_iter().flatten();
        texts.map(|text| text.0.len()).sum::<usize>() + 400
    }
}

/// What a claim found.
#[derive(Debug, Default)]
pub struct Found {
    /// In `seq` order.
    pub rows: Vec<PendingRow>,
    /// Whether there may be more behind them.
    pub is_full: bool,
    /// What they take in memory, about.
    pub bytes: usize,
}

/// How much to claim.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows.
    pub rows: u32,
    /// Bytes of payload and headers of all rows; one row more may be read.
    pub bytes: usize,
    /// Bytes of one payload; a larger one is not read.
    pub payload_bytes: u64,
}

/// `query_as!` of pending rows, from the FROM clause on. A payload larger than `payload_bytes` is not read.
macro_rules! pending_rows {
    ($payload_bytes:expr, $from:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            super::outbox::PendingRow,
            r#"SELECT outbox.seq,
                  outbox.event_id AS "event_id: uuid::Uuid",
                  outbox.aggregate_type,
                  outbox.aggregate_id,
                  outbox.aggregate_version,
                  outbox.event_type,
                  outbox.subject,
                  IF(LENGTH(outbox.payload) > ?, NULL, outbox.payload) AS "payload: super::column::JsonText",
                  CAST(LENGTH(outbox.payload) AS UNSIGNED) AS "payload_bytes!: u64",
                  IF(LENGTH(outbox.headers) > ?, NULL, outbox.headers) AS "headers: super::column::JsonText",
                  CAST(COALESCE(LENGTH(outbox.headers), 0) AS UNSIGNED) AS "headers_bytes!: u64",
                  outbox.occurred_at AS "occurred_at?: super::column::Moment",
                  outbox.attempts,
                  outbox.heal_epoch,
                  (outbox.discarded_at IS NOT NULL) AS "is_discarded!: bool",
                  TIMESTAMPDIFF(MICROSECOND, outbox.inserted_at, UTC_TIMESTAMP(6)) AS "waited_us!: i64",
                  COALESCE(ABS(TIMESTAMPDIFF(MINUTE, outbox.occurred_at, outbox.inserted_at)) > 60, FALSE) AS "is_far_off!: bool"
           "# + $from,
            $payload_bytes,
            super::column::HEADERS_BYTES_MAX,
            $($argument),*
        )
    };
}
pub(super) use pending_rows;

/// Reads the oldest pending events above `after` that are due, by the index `claim`; those that wait are gone through. A row
/// that commits late appears behind others that were claimed before: whoever gives another `after` than 0 asks
/// [`pending_up_to`] afterwards. An attempt that is further ahead than any backoff goes was set by a clock that was put back,
/// or by a stranger: it is due. Locks nothing. What is more than the limits is left at the server, at the cost of the
/// connection.
pub async fn claim(pool: &Pool, after: Seq, limits: Limits) -> sqlx::Result<Found> {
    let mut connection = pool.acquire().await?;
    let rows = pending_rows!(
        limits.payload_bytes,
        "FROM outbox FORCE INDEX (claim)
           WHERE state = 'pending'
             AND seq > ?
             AND (next_attempt_at IS NULL OR next_attempt_at <= UTC_TIMESTAMP(6)
                  OR next_attempt_at > UTC_TIMESTAMP(6) + INTERVAL 2 HOUR)
           ORDER BY seq
           LIMIT ?",
        after,
        limits.rows
    )
    .fetch(&mut *connection);
    let found = pool.in_time(read(rows, limits)).await?;
    give_back(connection, &found, limits);
    Ok(found)
}

/// As [`claim`], those pending events that have waited for their next attempt, by the index `waiting`: what waits still is not
/// gone through. In no order.
pub async fn claim_waited(pool: &Pool, limits: Limits) -> sqlx::Result<Found> {
    let mut connection = pool.acquire().await?;
    let rows = pending_rows!(
        limits.payload_bytes,
        "FROM outbox FORCE INDEX (waiting)
           WHERE state = 'pending'
             AND (next_attempt_at <= UTC_TIMESTAMP(6) OR next_attempt_at > UTC_TIMESTAMP(6) + INTERVAL 2 HOUR)
           LIMIT ?",
        limits.rows
    )
    .fetch(&mut *connection);
    let found = pool.in_time(read(rows, limits)).await?;
    give_back(connection, &found, limits);
    Ok(found)
}

async fn read(mut rows: impl Stream<Item = sqlx::Result<PendingRow>> + Unpin, limits: Limits) -> sqlx::Result<Found> {
    let mut found = Found::default();
    while found.bytes < limits.bytes {
        let Some(row) = rows.try_next().await? else {
            found.is_full = u32::try_from(found.rows.len()).is_ok_and(|rows| rows == limits.rows);
            return Ok(found);
        };
        found.bytes += row.bytes();
        found.rows.push(row);
    }
    found.is_full = true;
    Ok(found)
}

/// A connection is used again only if all that the server has ready was read.
fn give_back(connection: PooledConnection, found: &Found, limits: Limits) {
    if found.bytes < limits.bytes {
        connection.release();
    } else {
        tracing::debug!(rows = found.rows.len(), "a claim met its limit of bytes and gives its connection up");
    }
}

/// How many pending events wait for their next attempt, counted up to `limit`, by the index `waiting`. Locks nothing.
pub async fn count_waiting(pool: &Pool, limit: u32) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "waiting!: i64"
           FROM (SELECT seq
                 FROM outbox FORCE INDEX (waiting)
                 WHERE next_attempt_at > UTC_TIMESTAMP(6)
                 LIMIT ?) AS first_ones"#,
        limit
    )
    .fetch_one(pool)
    .await
}

/// The pending events up to a `seq`, whether due or not, at most `limit`. By the index `claim` alone. Locks nothing.
pub async fn pending_up_to(pool: &Pool, last: Seq, limit: u32) -> sqlx::Result<Vec<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT seq AS "seq: Seq"
         FROM outbox FORCE INDEX (claim)
         WHERE state = 'pending'
           AND seq <= ?
         ORDER BY seq
         LIMIT ?"#,
        last,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Whether any event is dead, held or waits for its next attempt, which is the only reason to call
/// [`super::outbox_earlier::earlier`]. By the indexes `claim` and `waiting`. Locks nothing.
pub async fn any_obstacle(pool: &Pool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM outbox WHERE state IN ('dead', 'held'))
               OR EXISTS (SELECT 1 FROM outbox WHERE next_attempt_at IS NOT NULL) AS "any: bool""#
    )
    .fetch_one(pool)
    .await
}

/// About the highest sequence in the stream that is settled: that of the latest events. Locks nothing.
pub async fn highest_stream_seq(pool: &Pool) -> sqlx::Result<Option<StreamSeq>> {
    sqlx::query_scalar!(
        r#"SELECT MAX(latest.stream_seq) AS "highest: StreamSeq"
           FROM (SELECT stream_seq
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = 'published'
                 ORDER BY seq DESC
                 LIMIT 1000) AS latest"#
    )
    .fetch_one(pool)
    .await
}
