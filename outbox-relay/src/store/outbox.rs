//! The table `outbox`: claim and settle.
//!
//! Claiming locks nothing: the lease makes this relay the only one that settles, and no row lock is held while the
//! broker is asked. Every settle is one statement, guarded by the state that it leaves and by the epoch of the lease,
//! and returns how many rows it changed, for the caller to check. No transaction spans two statements, so a relay that
//! is frozen between them holds no lock that a takeover would wait for.

use chrono::{DateTime, Utc};
use schema::names::OUTBOX_LEASE;
use serde_json::value::RawValue;
use sqlx::MySqlPool;
use sqlx::types::Json;
use uuid::Uuid;

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
    pub payload: Json<Box<RawValue>>,
    pub headers: Option<Json<Box<RawValue>>>,
    pub occurred_at: DateTime<Utc>,
    pub attempts: u32,
    pub heal_epoch: u32,
    /// A person gave the event up: a tombstone is published in its place.
    pub is_discarded: bool,
    /// False while the row waits for its next attempt.
    pub is_due: bool,
}

/// How many events stand in a state, and since when the oldest does.
#[derive(Debug)]
pub struct StateCount {
    pub events: i64,
    pub oldest_seconds: Option<f64>,
}

/// Reads the oldest pending events by the index `claim`, whether due or not: one that waits for its next attempt
/// keeps its younger siblings back. A row that commits late appears behind others that were claimed before; that is
/// why there is no cursor. Locks nothing.
pub async fn claim(pool: &MySqlPool, limit: u32) -> sqlx::Result<Vec<PendingRow>> {
    sqlx::query_as!(
        PendingRow,
        r#"SELECT seq,
                  event_id AS "event_id: Uuid",
                  aggregate_type,
                  aggregate_id AS "aggregate_id: Uuid",
                  aggregate_version,
                  event_type,
                  subject,
                  payload AS "payload: Json<Box<RawValue>>",
                  headers AS "headers: Json<Box<RawValue>>",
                  occurred_at AS "occurred_at: DateTime<Utc>",
                  attempts,
                  heal_epoch,
                  (discarded_at IS NOT NULL) AS "is_discarded!: bool",
                  (next_attempt_at IS NULL OR next_attempt_at <= UTC_TIMESTAMP(6)) AS "is_due!: bool"
           FROM outbox
           WHERE state = 'pending'
           ORDER BY seq
           LIMIT ?"#,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Which of these events have a dead or held elder in their aggregate. Locks nothing.
pub async fn behind_dead(pool: &MySqlPool, seqs: &[u64]) -> sqlx::Result<Vec<u64>> {
    sqlx::query_scalar!(
        r#"SELECT claimed.seq
           FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           JOIN outbox AS claimed ON claimed.seq = list.seq
           WHERE EXISTS (SELECT 1
                         FROM outbox AS elder
                         WHERE elder.aggregate_type = claimed.aggregate_type
                           AND elder.aggregate_id = claimed.aggregate_id
                           AND elder.state IN ('dead', 'held')
                           AND elder.seq < claimed.seq)"#,
        Json(seqs)
    )
    .fetch_all(pool)
    .await
}

/// Whether any event is dead or held, which is the only reason to call [`behind_dead`]. Locks nothing.
pub async fn any_dead(pool: &MySqlPool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM outbox WHERE state IN ('dead', 'held')) AS "any: bool""#)
        .fetch_one(pool)
        .await
}

/// Settles acknowledged events, given as (seq, sequence in the stream). Locks their rows.
pub async fn settle_published(pool: &MySqlPool, epoch: u64, acknowledged: &[(u64, u64)]) -> sqlx::Result<u64> {
    let settled = sqlx::query!(
        "UPDATE outbox
         JOIN JSON_TABLE(?, '$[*]' COLUMNS (seq        BIGINT UNSIGNED PATH '$[0]',
                                            stream_seq BIGINT UNSIGNED PATH '$[1]')) AS acknowledged
              ON acknowledged.seq = outbox.seq
         JOIN relay_lease ON relay_lease.name = ? AND relay_lease.epoch = ?
         SET outbox.state           = 'published',
             outbox.published_at    = UTC_TIMESTAMP(6),
             outbox.stream_seq      = acknowledged.stream_seq,
             outbox.next_attempt_at = NULL,
             outbox.last_error      = NULL
         WHERE outbox.state = 'pending'",
        Json(acknowledged),
        OUTBOX_LEASE,
        epoch
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Spends an attempt of an event and puts its next one off. Locks its row.
pub async fn settle_retry(pool: &MySqlPool, epoch: u64, seq: u64, delay_micros: u64, error: &str) -> sqlx::Result<u64> {
    let settled = sqlx::query!(
        "UPDATE outbox
         JOIN relay_lease ON relay_lease.name = ? AND relay_lease.epoch = ?
         SET outbox.attempts        = outbox.attempts + 1,
             outbox.next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
             outbox.last_error      = LEFT(?, 1000)
         WHERE outbox.seq = ?
           AND outbox.state = 'pending'",
        OUTBOX_LEASE,
        epoch,
        delay_micros,
        error,
        seq
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Marks an event that the broker acknowledged and then lost: it is published again under a fresh dedup id.
/// Locks its row.
pub async fn settle_forgotten(pool: &MySqlPool, epoch: u64, seq: u64) -> sqlx::Result<u64> {
    let settled = sqlx::query!(
        "UPDATE outbox
         JOIN relay_lease ON relay_lease.name = ? AND relay_lease.epoch = ?
         SET outbox.heal_epoch = outbox.heal_epoch + 1
         WHERE outbox.seq = ?
           AND outbox.state = 'pending'",
        OUTBOX_LEASE,
        epoch,
        seq
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Gives an event up until a person decides. Locks its row.
pub async fn settle_dead(pool: &MySqlPool, epoch: u64, seq: u64, error: &str) -> sqlx::Result<u64> {
    let settled = sqlx::query!(
        "UPDATE outbox
         JOIN relay_lease ON relay_lease.name = ? AND relay_lease.epoch = ?
         SET outbox.state           = 'dead',
             outbox.attempts        = outbox.attempts + 1,
             outbox.next_attempt_at = NULL,
             outbox.last_error      = LEFT(?, 1000)
         WHERE outbox.seq = ?
           AND outbox.state = 'pending'",
        OUTBOX_LEASE,
        epoch,
        error,
        seq
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Holds events back because an elder of their aggregate is dead. Locks their rows.
pub async fn hold(pool: &MySqlPool, epoch: u64, seqs: &[u64]) -> sqlx::Result<u64> {
    let held = sqlx::query!(
        "UPDATE outbox
         JOIN JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list ON list.seq = outbox.seq
         JOIN relay_lease ON relay_lease.name = ? AND relay_lease.epoch = ?
         SET outbox.state = 'held'
         WHERE outbox.state = 'pending'",
        Json(seqs),
        OUTBOX_LEASE,
        epoch
    )
    .execute(pool)
    .await?;
    Ok(held.rows_affected())
}

/// Counts the events in a state by the index `claim`, with the age of the oldest. Locks nothing.
pub async fn count(pool: &MySqlPool, state: State) -> sqlx::Result<StateCount> {
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
