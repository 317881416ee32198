//! How far the stream has been read, kept beside the effects.
//!
//! Guarantees that a message counts as read by the transaction of its effect, and before it is acknowledged: whatever the
//! broker believes to be done and this does not know is to be read again, be it that the database stepped back or that
//! somebody else acknowledged, advanced or filtered. Several processes write runs of what they read, each its own rows; every
//! few seconds each of them joins what touches, under the lock of the one row.

mod coverage;

use std::ops::RangeInclusive;

use runtime::mysql::{Pool, Transaction};
use runtime::operator::decision::By;
use uuid::Uuid;

use crate::message::Message;
use crate::outcome::Outcome;
use crate::source::Source;
use crate::store::inbox_action::{self, Action};
use crate::store::inbox_position;
pub use crate::store::inbox_position::Position;
use crate::store::inbox_read::{self, Mark, Run};

/// What was read, at one moment.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The row.
    pub position: Position,
    /// What was read above its floor, joined.
    runs: Vec<Run>,
}

/// What the broker says about the durable consumer.
#[derive(Clone, Copy, Debug)]
pub struct Believed {
    /// It believes that all up to here is done.
    pub ack_floor: u64,
    /// It has delivered nothing above.
    pub delivered: u64,
    /// Messages up to `delivered` for which it waits.
    pub ack_pending: u64,
}

impl Coverage {
    /// Whether nothing was read under it yet.
    pub fn is_untouched(&self) -> bool {
        self.position.mark.is_none() && self.runs.is_empty()
    }

    /// The highest sequence that was read.
    pub fn highest(&self) -> u64 {
        self.runs.last().map_or(self.position.floor, |run| run.to)
    }

    /// Where a new durable consumer starts.
    pub fn start(&self) -> u64 {
        self.position.start.max(self.highest() + 1)
    }

    /// What the durable consumer will not bring any more and was not read. `Believed` has to be older than this: then
    /// all that it was waiting for may be unread, and nothing else.
    pub fn lost(&self, believed: Believed) -> Vec<RangeInclusive<u64>> {
        let unread = |limit| coverage::unread(self.position.floor, &self.runs, limit);
        let (done, delivered) = (unread(believed.ack_floor), unread(believed.delivered));
        let waited_for = coverage::count(&delivered) - coverage::count(&done).min(coverage::count(&delivered));
        if waited_for > believed.ack_pending { delivered } else { done }
    }
}

/// Notes what was read, in stream order, in the transaction that makes it so. Waits for nobody.
///
/// # Errors
/// A fault of the database.
pub async fn add<'a>(
    tx: &mut Transaction,
    source: &Source,
    reading: Uuid,
    read: impl IntoIterator<Item = (&'a Message, Outcome)>,
) -> sqlx::Result<()> {
    let mut runs: Vec<(u64, &Message, Outcome)> = Vec::new();
    for (message, outcome) in read {
        let sequence = message.stream_sequence;
        match runs.last_mut() {
            Some((_, last, last_outcome)) if sequence.wrapping_sub(last.stream_sequence) <= 1 => {
                (*last, *last_outcome) = (message, outcome);
            }
            _ => runs.push((sequence, message, outcome)),
        }
    }
    let run = |(from, last, outcome): (u64, &Message, Outcome)| Run {
        from,
        to: last.stream_sequence,
        mark: Some(mark(last, outcome)),
    };
    let runs: Vec<_> = runs.into_iter().map(run).collect();
    if runs.is_empty() { Ok(()) } else { inbox_read::add(tx, source, reading, &runs).await }
}

/// A duplicate may be one of an event that is parked, and has no row yet.
fn mark(message: &Message, outcome: Outcome) -> Mark {
    let event_id = message.event_id().filter(|_| outcome.is_recorded());
    Mark { stored_ns: message.stored_at.timestamp_nanos_opt().unwrap_or_default(), id: message.identity(), event_id }
}

/// Notes what the stream does not hold, and counts as gone what had not been read before: how many.
///
/// # Errors
/// A fault of the database.
pub async fn add_gone(pool: &Pool, source: &Source, reading: Uuid, missing: &[Run]) -> sqlx::Result<u64> {
    let mut tx = pool.begin().await?;
    let position = inbox_position::lock(&mut tx, source).await?;
    let Some(position) = position.filter(|position| position.reading == reading) else { return Ok(0) };
    let above = |run: &Run| (run.to + 1).saturating_sub(run.from.max(position.counted + 1));
    let gone = missing.iter().map(above).sum();
    if gone > 0 {
        inbox_position::save(&mut tx, source, &Position { gone: position.gone + gone, ..position }).await?;
    }
    inbox_read::add(&mut tx, source, reading, missing).await?;
    tx.commit().await?;
    Ok(gone)
}

/// Joins what was read, and says what it comes to; none if there is no position yet.
///
/// # Errors
/// A fault of the database.
pub async fn join(pool: &Pool, source: &Source) -> sqlx::Result<Option<Coverage>> {
    let mut tx = pool.begin().await?;
    let Some(position) = inbox_position::lock(&mut tx, source).await? else { return Ok(None) };
    let coverage = join_locked(&mut tx, source, position).await?;
    tx.commit().await?;
    Ok(Some(coverage))
}

async fn join_locked(tx: &mut Transaction, source: &Source, mut position: Position) -> sqlx::Result<Coverage> {
    for other in inbox_read::others(tx, source, position.reading).await? {
        let rows = inbox_read::lowest(tx, source, other).await?;
        inbox_read::delete(tx, source, other, &rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
    }
    let rows = inbox_read::lowest(tx, source, position.reading).await?;
    let marked = rows.iter().filter_map(|row| Some((row.run.to, row.run.mark.clone()?)));
    let highest = marked.max_by_key(|(sequence, _)| *sequence);
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let (floor, runs) = coverage::join(position.floor, rows.into_iter().map(|row| row.run).collect());
    let is_higher = highest.as_ref().map(|mark| mark.0) > position.mark.as_ref().map(|mark| mark.0);
    if floor > position.floor || is_higher {
        position.floor = floor;
        position.mark = if is_higher { highest } else { position.mark };
        inbox_position::save(tx, source, &position).await?;
    }
    if runs.len() < ids.len() {
        inbox_read::delete(tx, source, position.reading, &ids).await?;
        if !runs.is_empty() {
            inbox_read::add(tx, source, position.reading, &runs).await?;
        }
    }
    Ok(Coverage { position, runs })
}

/// The first position, unless there is one. A durable consumer that was there before goes on with `start`; what is below is
/// history.
///
/// # Errors
/// A fault of the database.
pub async fn open(pool: &Pool, source: &Source, first: u64, start: u64) -> sqlx::Result<()> {
    let floor = first.saturating_sub(1);
    let position = Position { reading: Uuid::now_v7(), floor, start, counted: floor, gone: 0, mark: None };
    inbox_position::open(pool, source, &position).await.map(drop)
}

/// Other messages stand in the stream than were read: all of it is to be read again, as history up to `last`.
/// False if another process has noticed it first.
///
/// # Errors
/// A fault of the database.
pub async fn start_over(
    pool: &Pool,
    source: &Source,
    old: Uuid,
    (first, last): (u64, u64),
    cause: &str,
) -> sqlx::Result<bool> {
    let mut tx = pool.begin().await?;
    let Some(position) = inbox_position::lock(&mut tx, source).await?.filter(|position| position.reading == old) else {
        return Ok(false);
    };
    let (reading, floor) = (Uuid::now_v7(), first.saturating_sub(1));
    let position = Position { reading, floor, start: last + 1, counted: last, mark: None, ..position };
    inbox_position::save(&mut tx, source, &position).await?;
    inbox_position::note_reread(&mut tx, source, first, cause, None).await?;
    tx.commit().await?;
    Ok(true)
}

/// What was read from `from` on is to be read again. None if there is no position; else where it begins: nothing above the
/// highest message that was read can be read again.
///
/// # Errors
/// A fault of the database.
pub async fn step_back(
    pool: &Pool,
    source: &Source,
    from: u64,
    cause: &str,
    by: Option<By<'_>>,
) -> sqlx::Result<Option<u64>> {
    let mut tx = pool.begin().await?;
    let Some(position) = inbox_position::lock(&mut tx, source).await? else { return Ok(None) };
    let mut coverage = join_locked(&mut tx, source, position).await?;
    let from = from.max(1);
    let rows = inbox_read::lowest(&mut tx, source, coverage.position.reading).await?;
    inbox_read::delete(&mut tx, source, coverage.position.reading, &rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .await?;
    let kept = rows.into_iter().map(|row| row.run).filter(|run| run.from < from);
    let kept: Vec<_> =
        kept.map(|run| if run.to < from { run } else { Run { to: from - 1, mark: None, ..run } }).collect();
    if !kept.is_empty() {
        inbox_read::add(&mut tx, source, coverage.position.reading, &kept).await?;
    }
    let highest = coverage.highest();
    let position = &mut coverage.position;
    position.floor = position.floor.min(from - 1);
    position.start = position.start.max(highest + 1);
    position.counted = position.counted.max(highest);
    // Its row in the inbox may be what is missing.
    position.mark.iter_mut().for_each(|(_, mark)| mark.event_id = None);
    inbox_position::save(&mut tx, source, position).await?;
    inbox_position::note_reread(&mut tx, source, from, cause, by.map(|by| by.reason)).await?;
    if let Some(by) = by {
        inbox_action::record(&mut tx, by, Action::Reread, &format!("from sequence {from}")).await?;
    }
    tx.commit().await?;
    Ok(Some(from))
}
