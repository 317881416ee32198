//! What is to become of one event, decided under the lock of its order's gate.

use runtime::mysql::Transaction;

use super::work::Work;
use crate::event::Event;
use crate::outcome::Outcome;
use crate::store::inbox_gate::{self, Move};
use crate::store::inbox_parked::{self, Place};
use crate::store::{Receipt, inbox, inbox_skipped, notifications};

/// The reason for a reused event id.
const CONFLICT: &str = "conflict: another event with this id, but another payload, came before";

/// Where an event stands.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is to have its effect now.
    Next,
    /// An earlier version of its order is missing.
    Early,
    /// It has had its effect, or is parked. So is taken what is behind its gate and has no row in the inbox any more.
    Duplicate,
    /// It never will: to be kept in `inbox_dead`, with this reason.
    Never(Outcome, String),
}

/// Its order and version; none from a writer that keeps none.
pub(super) fn place(event: &Event) -> Option<Place> {
    event.envelope.aggregate_version.map(|version| (event.envelope.aggregate_id, version.get()))
}

/// Locks the gate of the event's order, if it has a version, and says where it stands.
pub(super) async fn hold(tx: &mut Transaction, event: &Event) -> sqlx::Result<u32> {
    match place(event) {
        Some((order, _)) => inbox_gate::hold(tx, order).await,
        None => Ok(0),
    }
}

/// Decides by the inbox and the gate, which the caller holds.
pub(super) async fn turn(tx: &mut Transaction, event: &Event, stands_at: u32) -> sqlx::Result<Turn> {
    if let Some(repeat) = repeat(tx, event).await? {
        return Ok(repeat);
    }
    let Some((order, version)) = place(event) else { return Ok(Turn::Next) };
    if version > stands_at {
        return Ok(if version - stands_at == 1 { Turn::Next } else { Turn::Early });
    }
    if let Some(other) = inbox::event_of(tx, order, version).await? {
        let reason = format!("conflict: version {version} of the order was another event, {other}");
        return Ok(Turn::Never(Outcome::Conflict, reason));
    }
    if inbox_skipped::covers(tx, order, version).await? {
        let reason = format!("late: version {version} of the order was skipped before it came");
        return Ok(Turn::Never(Outcome::Dead, reason));
    }
    tracing::warn!("version of the order was passed so long ago that the inbox can't tell which event it was");
    Ok(Turn::Duplicate)
}

/// As [`turn`], for an event that is not parked itself: its id may be, or its version by another event.
pub(super) async fn turn_of_new(tx: &mut Transaction, event: &Event, stands_at: u32) -> sqlx::Result<Turn> {
    let turn = turn(tx, event, stands_at).await?;
    let (Turn::Next | Turn::Early) = turn else { return Ok(turn) };
    if let Some(parked) = inbox_parked::with_id(tx, event.envelope.event_id).await? {
        return Ok(if parked.place == place(event) { same_id(event, parked.payload_sha256) } else { conflict() });
    }
    let Some(place) = place(event) else { return Ok(turn) };
    let standing = inbox_parked::standing(&mut **tx, &[place]).await?;
    Ok(match standing.first() {
        None => turn,
        Some(parked) => {
            let reason = format!("conflict: version {} of the order is another event, {}", place.1, parked.event_id);
            Turn::Never(Outcome::Conflict, reason)
        }
    })
}

/// What an event is whose id is recorded; none if it is not.
pub(super) async fn repeat(tx: &mut Transaction, event: &Event) -> sqlx::Result<Option<Turn>> {
    let recorded = inbox::payload_sha256(tx, event.envelope.event_id).await?;
    Ok(recorded.map(|recorded| same_id(event, recorded)))
}

fn same_id(event: &Event, digest: [u8; 32]) -> Turn {
    if event.is_in_conflict_with(digest) { conflict() } else { Turn::Duplicate }
}

/// An id that was used before.
pub(super) fn conflict() -> Turn {
    Turn::Never(Outcome::Conflict, CONFLICT.to_owned())
}

/// The step that the gate of an event takes with it; none from a writer that keeps no versions.
pub(super) fn step(event: &Event, stands_at: u32) -> Option<Move> {
    place(event).map(|(order, version)| Move { aggregate_id: order, from: Some(stands_at), to: version })
}

/// The effect of an event that is next, with its inbox row and its step of the gate; a duplicate if its id is taken.
pub(super) async fn effect(tx: &mut Transaction, work: &Work, sequence: u64, stands_at: u32) -> sqlx::Result<Receipt> {
    if inbox::record(tx, &work.event, sequence).await? == Receipt::Duplicate {
        return Ok(Receipt::Duplicate);
    }
    if let Some(step) = step(&work.event, stands_at)
        && inbox_gate::advance_all(tx, &[step]).await? != 1
    {
        return Err(sqlx::Error::RowNotFound);
    }
    match &work.notification {
        Some(notification) => notifications::insert(tx, notification).await,
        None => Ok(Receipt::First),
    }
}
