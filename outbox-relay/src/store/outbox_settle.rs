//! The table `outbox`: settle.
//!
//! The order of the joins is fixed, here and wherever a list of events is changed: in a small table the optimizer would begin
//! with the table, and lock, or wait for, rows of other events (`a_locked_row_keeps_no_other_event_from_being_changed`).
//!
//! Every settle is one statement, guarded by the state that it leaves, by the event's id and by the token of the lease, and
//! returns how many rows it changed, for the caller to check. A `seq` alone names nothing: after a failover to a replica that
//! lagged, or a restore, the same number is another event. No transaction spans two statements, so a relay that is frozen
//! between them holds no lock that a takeover would wait for.
//!
//! The token is compared in a scalar subquery, which locks nothing: a lock on the lease would have the renewal wait for the
//! rows. So a settle that waits for a row may end after a takeover. What it writes is true all the same: its messages were in
//! the stream before the successor read it, and the successor settles the same events to the same sequences.

use runtime::mysql::Pool;
use schema::names::OUTBOX_LEASE;
use schema::sequence::{Seq, StreamSeq};
use sqlx::types::Json;
use uuid::Uuid;

use crate::heal_epoch::HealEpoch;

/// Which event a settle is about: its place in the table, and its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub seq: Seq,
    pub event_id: Uuid,
}

/// Acknowledged events whose `seq` and whose sequence in the stream both go up by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub first: Seq,
    pub last: Seq,
    /// Of the first.
    pub stream_seq: StreamSeq,
    /// Their ids, one behind the other, 16 bytes each.
    pub event_ids: Vec<u8>,
}

/// Settles acknowledged events without a gap: `first` to `last` have the sequences of the stream from `stream_seq` on.
/// Costs the database a quarter less than a list of them, whose rows go through a temporary table before they are changed, and
/// none but these can be between them. Each row's id is compared with the one at its place in `event_ids`. EXISTS would become
/// a join, and the rows would go through that table as well. Locks their rows.
pub async fn settle_run(pool: &Pool, token: &str, run: &Run) -> sqlx::Result<u64> {
    let settled = sqlx::query!(
        "UPDATE outbox FORCE INDEX (PRIMARY)
         SET state           = 'published',
             published_at    = UTC_TIMESTAMP(6),
             stream_seq      = ? + (seq - ?),
             next_attempt_at = NULL,
             last_error      = NULL
         WHERE seq BETWEEN ? AND ?
           AND state = 'pending'
           AND event_id = SUBSTR(?, (seq - ?) * 16 + 1, 16)
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        run.stream_seq,
        run.first,
        run.first,
        run.last,
        run.event_ids,
        run.first,
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// An event that was found in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub event_id: Uuid,
    pub heal_epoch: HealEpoch,
    pub stream_seq: StreamSeq,
    pub is_tombstone: bool,
}

/// Settles events that were found in the stream. Locks the rows that are still pending.
pub async fn settle_found(pool: &Pool, token: &str, found: &[Found]) -> sqlx::Result<u64> {
    let list = found.iter().map(|event| {
        let Found { event_id, heal_epoch, stream_seq, is_tombstone } = event;
        (event_id.simple().to_string(), heal_epoch, stream_seq, is_tombstone)
    });
    let settled = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (event_id     CHAR(32) PATH '$[0]',
                                              heal_epoch   INT UNSIGNED PATH '$[1]',
                                              stream_seq   BIGINT UNSIGNED PATH '$[2]',
                                              is_tombstone BOOLEAN PATH '$[3]')) AS found
         STRAIGHT_JOIN outbox FORCE INDEX (event_id)
              ON outbox.event_id = UNHEX(found.event_id) AND outbox.heal_epoch = found.heal_epoch
         SET outbox.state           = 'published',
             outbox.published_at    = UTC_TIMESTAMP(6),
             outbox.stream_seq      = found.stream_seq,
             outbox.next_attempt_at = NULL,
             outbox.last_error      = NULL
         WHERE outbox.state = 'pending'
           AND (outbox.discarded_at IS NOT NULL) = found.is_tombstone
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        Json(list.collect::<Vec<_>>()),
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Settles acknowledged events, given with their sequence in the stream. Locks their rows.
pub async fn settle_published(pool: &Pool, token: &str, acknowledged: &[(Key, StreamSeq)]) -> sqlx::Result<u64> {
    let list = acknowledged.iter().map(|(key, stream_seq)| (key.event_id.simple().to_string(), key.seq, *stream_seq));
    let settled = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (event_id   CHAR(32) PATH '$[0]',
                                              seq        BIGINT UNSIGNED PATH '$[1]',
                                              stream_seq BIGINT UNSIGNED PATH '$[2]')) AS acknowledged
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY)
              ON outbox.seq = acknowledged.seq AND outbox.event_id = UNHEX(acknowledged.event_id)
         SET outbox.state           = 'published',
             outbox.published_at    = UTC_TIMESTAMP(6),
             outbox.stream_seq      = acknowledged.stream_seq,
             outbox.next_attempt_at = NULL,
             outbox.last_error      = NULL
         WHERE outbox.state = 'pending'
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        Json(list.collect::<Vec<_>>()),
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Changes one pending event, and returns how many rows it changed.
macro_rules! settle_one {
    ($pool:expr, $token:expr, $key:expr, $set:literal, $($value:expr),*) => {
        sqlx::query!(
            $set + "
         WHERE seq = ?
           AND event_id = ?
           AND state = 'pending'
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
            $($value,)*
            $key.seq,
            $key.event_id,
            OUTBOX_LEASE,
            $token
        )
        .execute($pool)
        .await
        .map(|settled| settled.rows_affected())
    };
}

/// Spends an attempt of an event and puts its next one off. Locks its row.
pub async fn settle_retry(pool: &Pool, token: &str, key: Key, delay_micros: u64, error: &str) -> sqlx::Result<u64> {
    settle_one!(
        pool,
        token,
        key,
        "UPDATE outbox
         SET attempts        = attempts + 1,
             next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
             last_error      = LEFT(?, 1000)",
        delay_micros,
        error
    )
}

/// Marks an event that the broker acknowledged and then lost: it is published again under a fresh dedup id.
/// Locks its row.
pub async fn settle_forgotten(pool: &Pool, token: &str, key: Key) -> sqlx::Result<u64> {
    settle_one!(pool, token, key, "UPDATE outbox SET heal_epoch = heal_epoch % 4294967295 + 1",)
}

/// Gives an event up until a person decides. Locks its row.
pub async fn settle_dead(pool: &Pool, token: &str, key: Key, error: &str) -> sqlx::Result<u64> {
    settle_one!(
        pool,
        token,
        key,
        "UPDATE outbox
         SET state           = 'dead',
             attempts        = attempts + 1,
             next_attempt_at = NULL,
             last_error      = LEFT(?, 1000)",
        error
    )
}

/// Holds events back because an earlier event of their aggregate is not in the stream, or their subject is paused. A held event
/// with a next attempt is one that waits for a limit, so these have none. Locks their rows.
pub async fn hold(pool: &Pool, token: &str, keys: &[Key]) -> sqlx::Result<u64> {
    let list = keys.iter().map(|key| (key.event_id.simple().to_string(), key.seq));
    let held = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (event_id CHAR(32) PATH '$[0]',
                                              seq      BIGINT UNSIGNED PATH '$[1]')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY)
              ON outbox.seq = list.seq AND outbox.event_id = UNHEX(list.event_id)
         SET outbox.state           = 'held',
             outbox.next_attempt_at = NULL
         WHERE outbox.state = 'pending'
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        Json(list.collect::<Vec<_>>()),
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(held.rows_affected())
}
