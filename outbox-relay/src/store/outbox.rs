//! The table `outbox`: claim, and what people and gauges ask. Its settles are in `outbox_settle.rs`.
//!
//! Claiming locks nothing: the lease makes this relay the only one that settles, and no row lock is held while the
//! broker is asked.

use futures::TryStreamExt;
use runtime::mysql::Pool;
use sqlx::MySqlConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::column::{JsonText, Moment};
use super::outbox_settle::Key;

/// A pending row as it was written, rubbish included.
#[derive(Debug)]
pub struct PendingRow {
    pub seq: u64,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: Uuid,
    pub aggregate_version: Option<u32>,
    pub event_type: String,
    pub subject: String,
    /// None if it is larger than the broker takes: such a one is not worth the memory.
    pub payload: Option<JsonText>,
    pub headers: Option<JsonText>,
    pub occurred_at: Option<Moment>,
    pub attempts: u32,
    pub heal_epoch: u32,
    /// A person gave the event up: a tombstone is published in its place.
    pub is_discarded: bool,
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

/// How many events stand in a state, and since when the oldest does.
#[derive(Debug)]
pub struct StateCount {
    pub events: i64,
    pub oldest_seconds: Option<f64>,
}

/// An event and the youngest of its elders that is not in the stream.
#[derive(Debug)]
pub struct Elder {
    pub seq: u64,
    pub elder: u64,
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

/// Reads the oldest pending events above `after` that are due, by the index `claim`. A row that commits late appears
/// behind others that were claimed before: whoever gives another `after` than 0 asks [`pending_up_to`] afterwards. Locks
/// nothing. What is more than the limits is left at the server, at the cost of the connection.
pub async fn claim(pool: &Pool, after: u64, limits: Limits) -> sqlx::Result<Found> {
    let mut connection = pool.acquire().await?;
    let found = pool.in_time(read(&mut connection, after, limits)).await?;
    if found.bytes < limits.bytes {
        connection.release();
    } else {
        // To go on with it, all that the server has ready would have to be read.
        tracing::debug!(rows = found.rows.len(), "a claim met its limit of bytes and gives its connection up");
    }
    Ok(found)
}

async fn read(connection: &mut MySqlConnection, after: u64, limits: Limits) -> sqlx::Result<Found> {
    let mut found = Found::default();
    let mut rows = sqlx::query_as!(
        PendingRow,
        r#"SELECT seq,
                      event_id AS "event_id: Uuid",
                      aggregate_type,
                      aggregate_id AS "aggregate_id: Uuid",
                      aggregate_version,
                      event_type,
                      subject,
                      IF(LENGTH(payload) > ?, NULL, payload) AS "payload: JsonText",
                      headers AS "headers: JsonText",
                      occurred_at AS "occurred_at?: Moment",
                      attempts,
                      heal_epoch,
                      (discarded_at IS NOT NULL) AS "is_discarded!: bool"
               FROM outbox FORCE INDEX (claim)
               WHERE state = 'pending'
                 AND seq > ?
                 AND (next_attempt_at IS NULL OR next_attempt_at <= UTC_TIMESTAMP(6))
               ORDER BY seq
               LIMIT ?"#,
        limits.payload_bytes,
        after,
        limits.rows
    )
    .fetch(connection);
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

/// The pending events up to a `seq`, whether due or not, at most `limit`. By the index `claim` alone. Locks nothing.
pub async fn pending_up_to(pool: &Pool, last: u64, limit: u32) -> sqlx::Result<Vec<u64>> {
    sqlx::query_scalar!(
        "SELECT seq
         FROM outbox FORCE INDEX (claim)
         WHERE state = 'pending'
           AND seq <= ?
         ORDER BY seq
         LIMIT ?",
        last,
        limit
    )
    .fetch_all(pool)
    .await
}

/// The youngest elder of each of these events that is not in the stream, for those that have one. Give one event of an
/// aggregate, its oldest: the elders of each are looked at. Locks nothing.
pub async fn elders(pool: &Pool, seqs: &[u64]) -> sqlx::Result<Vec<Elder>> {
    sqlx::query_as!(
        Elder,
        r#"SELECT claimed.seq AS "seq!: u64", MAX(elder.seq) AS "elder!: u64"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           JOIN outbox AS claimed ON claimed.seq = list.seq
           JOIN outbox AS elder FORCE INDEX (aggregate)
                ON elder.aggregate_type = claimed.aggregate_type
               AND elder.aggregate_id = claimed.aggregate_id
               AND elder.seq < claimed.seq
           WHERE elder.state <> 'published'
           GROUP BY claimed.seq"#,
        Json(seqs)
    )
    .fetch_all(pool)
    .await
}

/// Whether any event is dead, held or waits for its next attempt, which is the only reason to call [`elders`]. By the
/// indexes `claim` and `waiting`. Locks nothing.
pub async fn any_obstacle(pool: &Pool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM outbox WHERE state IN ('dead', 'held'))
               OR EXISTS (SELECT 1 FROM outbox WHERE next_attempt_at IS NOT NULL) AS "any: bool""#
    )
    .fetch_one(pool)
    .await
}

/// About the highest sequence in the stream that is settled: that of the latest events. Locks nothing.
pub async fn highest_stream_seq(pool: &Pool) -> sqlx::Result<Option<u64>> {
    sqlx::query_scalar!(
        r#"SELECT MAX(latest.stream_seq) AS "highest: u64"
           FROM (SELECT stream_seq
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = 'published'
                 ORDER BY seq DESC
                 LIMIT 1000) AS latest"#
    )
    .fetch_one(pool)
    .await
}

/// Counts the events in a state by the index `claim`, with the age of the oldest. Locks nothing.
pub async fn count(pool: &Pool, state: State) -> sqlx::Result<StateCount> {
    sqlx::query_as!(
        StateCount,
        r#"SELECT COUNT(*) AS "events!: i64",
                  (SELECT CAST(TIMESTAMPDIFF(MICROSECOND, occurred_at, UTC_TIMESTAMP(6)) / 1e6 AS DOUBLE)
                   FROM outbox
                   WHERE state = ?
                   ORDER BY seq
                   LIMIT 1) AS "oldest_seconds: f64"
           FROM outbox
           WHERE state = ?"#,
        state.as_str(),
        state.as_str()
    )
    .fetch_one(pool)
    .await
}

/// A state that an event can be counted in; published ones are not, for their number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Held,
    Dead,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Held, Self::Dead];

    /// The name in the table and in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Dead => "dead",
        }
    }
}
