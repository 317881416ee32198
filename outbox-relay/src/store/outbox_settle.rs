//! The table `outbox`: settle.
//!
//! Every settle is one statement, guarded by the state that it leaves and by the epoch of the lease, and returns how
//! many rows it changed, for the caller to check. No transaction spans two statements, so a relay that is frozen between
//! them holds no lock that a takeover would wait for.

use runtime::mysql::Pool;
use schema::names::OUTBOX_LEASE;
use sqlx::types::Json;

/// Acknowledged events whose `seq` and whose sequence in the stream both go up by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first: u64,
    pub last: u64,
    /// Of the first.
    pub stream_seq: u64,
}

/// Settles acknowledged events without a gap: `first` to `last` have the sequences of the stream from `stream_seq` on.
/// Costs the database a quarter less than a list of them, whose rows go through a temporary table before they are changed, and
/// none but these can be between them. The epoch is compared in a scalar subquery: EXISTS would become a join, and the rows
/// would go through that table as well. Locks their rows.
///
/// That subquery locks nothing, so a settle that waits for a row may end after a takeover. What it writes is true all the
/// same: its messages were in the stream before the successor looked there, and the successor settles the same rows to the
/// same sequences. A lock on the lease would have the renewal wait for the rows.
pub async fn settle_run(pool: &Pool, epoch: u64, run: &Run) -> sqlx::Result<u64> {
    let settled = sqlx::query!(
        "UPDATE outbox FORCE INDEX (PRIMARY)
         SET state           = 'published',
             published_at    = UTC_TIMESTAMP(6),
             stream_seq      = ? + (seq - ?),
             next_attempt_at = NULL,
             last_error      = NULL
         WHERE seq BETWEEN ? AND ?
           AND state = 'pending'
           AND (SELECT epoch FROM relay_lease WHERE name = ?) = ?",
        run.stream_seq,
        run.first,
        run.first,
        run.last,
        OUTBOX_LEASE,
        epoch
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Settles events that were found in the stream, given as (event id in hexadecimal, heal epoch, sequence in the stream).
/// A discarded event is left alone: its tombstone has to follow. Locks the rows that are still pending.
pub async fn settle_found(pool: &Pool, epoch: u64, found: &[(String, u32, u64)]) -> sqlx::Result<u64> {
    let settled = sqlx::query!(
        "UPDATE outbox
         JOIN JSON_TABLE(?, '$[*]' COLUMNS (event_id   CHAR(32) PATH '$[0]',
                                            heal_epoch INT UNSIGNED PATH '$[1]',
                                            stream_seq BIGINT UNSIGNED PATH '$[2]')) AS found
              ON outbox.event_id = UNHEX(found.event_id) AND outbox.heal_epoch = found.heal_epoch
         JOIN relay_lease ON relay_lease.name = ? AND relay_lease.epoch = ?
         SET outbox.state           = 'published',
             outbox.published_at    = UTC_TIMESTAMP(6),
             outbox.stream_seq      = found.stream_seq,
             outbox.next_attempt_at = NULL,
             outbox.last_error      = NULL
         WHERE outbox.state = 'pending'
           AND outbox.discarded_at IS NULL",
        Json(found),
        OUTBOX_LEASE,
        epoch
    )
    .execute(pool)
    .await?;
    Ok(settled.rows_affected())
}

/// Settles acknowledged events, given as (seq, sequence in the stream). Locks their rows.
pub async fn settle_published(pool: &Pool, epoch: u64, acknowledged: &[(u64, u64)]) -> sqlx::Result<u64> {
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
pub async fn settle_retry(pool: &Pool, epoch: u64, seq: u64, delay_micros: u64, error: &str) -> sqlx::Result<u64> {
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
pub async fn settle_forgotten(pool: &Pool, epoch: u64, seq: u64) -> sqlx::Result<u64> {
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
pub async fn settle_dead(pool: &Pool, epoch: u64, seq: u64, error: &str) -> sqlx::Result<u64> {
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
pub async fn hold(pool: &Pool, epoch: u64, seqs: &[u64]) -> sqlx::Result<u64> {
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
