//! `inbox_position`: how far the stream has been read, one row. Whoever changes it locks it first.

use std::time::Duration;

use runtime::mysql::{Pool, Receipt, Transaction};
use schema::ids::EventId;
use uuid::Uuid;

use super::inbox_read::Mark;
use crate::source::Source;

/// How far the stream has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// A name for the stream with the messages that were read.
    pub reading: Uuid,
    /// Every message up to here has had its effect, or is gone.
    pub floor: u64,
    /// A new durable consumer reads from here or later.
    pub start: u64,
    /// What is missing in the stream up to here does not count as gone.
    pub counted: u64,
    /// Messages that the stream dropped before they were read.
    pub gone: u64,
    /// The last message that was read, and its sequence.
    pub mark: Option<(u64, Mark)>,
}

/// Writes the first position; a duplicate if there is one.
///
/// # Errors
/// Any fault but a taken key.
pub async fn open(pool: &Pool, source: &Source, position: &Position) -> sqlx::Result<Receipt> {
    let inserted = sqlx::query!(
        "INSERT INTO inbox_position (consumer, reading, floor_seq, start_seq, counted_seq, gone)
         VALUES (?, ?, ?, ?, ?, ?)",
        source.consumer,
        position.reading,
        position.floor,
        position.start,
        position.counted,
        position.gone,
    )
    .execute(pool)
    .await;
    Receipt::of(inserted)
}

/// The position, locked until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn lock(tx: &mut Transaction, source: &Source) -> sqlx::Result<Option<Position>> {
    let row = sqlx::query!(
        r#"SELECT reading AS "reading: Uuid", floor_seq, start_seq, counted_seq, gone, mark_seq, mark_stored_ns, mark_id,
                  mark_event_id AS "mark_event_id: EventId"
           FROM inbox_position
           WHERE consumer = ?
           FOR UPDATE"#,
        source.consumer,
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(row.map(|row| Position {
        reading: row.reading,
        floor: row.floor_seq,
        start: row.start_seq,
        counted: row.counted_seq,
        gone: row.gone,
        mark: match (row.mark_seq, row.mark_stored_ns, row.mark_id) {
            (Some(sequence), Some(stored_ns), Some(id)) => {
                Some((sequence, Mark { stored_ns, id, event_id: row.mark_event_id }))
            }
            _ => None,
        },
    }))
}

/// Writes what was made of the locked row.
///
/// # Errors
/// Any fault.
pub async fn save(tx: &mut Transaction, source: &Source, position: &Position) -> sqlx::Result<()> {
    let (sequence, mark) = position.mark.as_ref().map(|(sequence, mark)| (*sequence, mark)).unzip();
    sqlx::query!(
        "UPDATE inbox_position
         SET reading = ?, floor_seq = ?, start_seq = ?, counted_seq = ?, gone = ?,
             mark_seq = ?, mark_stored_ns = ?, mark_id = ?, mark_event_id = ?
         WHERE consumer = ?",
        position.reading,
        position.floor,
        position.start,
        position.counted,
        position.gone,
        sequence,
        mark.map(|mark| mark.stored_ns),
        mark.map(|mark| mark.id.as_str()),
        mark.and_then(|mark| mark.event_id),
        source.consumer,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// What people ask for.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Every message up to here has had its effect, or is gone.
    pub floor: u64,
    /// The highest message that was read.
    pub highest: Option<u64>,
    /// Messages that the stream dropped before they were read.
    pub gone: u64,
}

/// The position, for people. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn show(pool: &Pool, source: &Source) -> sqlx::Result<Option<Shown>> {
    sqlx::query_as!(
        Shown,
        "SELECT floor_seq AS floor, mark_seq AS highest, gone
         FROM inbox_position
         WHERE consumer = ?",
        source.consumer,
    )
    .fetch_optional(pool)
    .await
}

/// Takes or keeps the right to read history, by the database's clock; false while another process has it. A lease that ends
/// later than any that could be taken now is from before the clock was set back, and counts for nothing.
///
/// # Errors
/// Any fault.
pub async fn take_history(
    pool: &Pool,
    source: &Source,
    reading: Uuid,
    reader: Uuid,
    lease: Duration,
) -> sqlx::Result<bool> {
    let lease = lease.as_secs();
    let taken = sqlx::query!(
        "UPDATE inbox_position
         SET reader = ?, reader_until = UTC_TIMESTAMP(6) + INTERVAL ? SECOND
         WHERE consumer = ? AND reading = ?
           AND (reader IS NULL OR reader = ? OR reader_until < UTC_TIMESTAMP(6)
                OR reader_until > UTC_TIMESTAMP(6) + INTERVAL ? SECOND)",
        reader,
        lease,
        source.consumer,
        reading,
        reader,
        lease,
    )
    .execute(pool)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Gives the right to read history back.
///
/// # Errors
/// Any fault.
pub async fn leave_history(pool: &Pool, source: &Source, reader: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE inbox_position
         SET reader = NULL, reader_until = NULL
         WHERE consumer = ? AND reader = ?",
        source.consumer,
        reader,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that a part of the stream is read again.
///
/// # Errors
/// Any fault.
pub async fn note_reread(
    tx: &mut Transaction,
    source: &Source,
    from: u64,
    cause: &str,
    reason: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO inbox_reread (consumer, from_seq, cause, reason)
         VALUES (?, ?, ?, ?)",
        source.consumer,
        from,
        cause,
        reason,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}
