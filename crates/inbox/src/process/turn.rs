//! What is to become of one event, decided under the lock of its aggregate's gate.

use runtime::mysql::Transaction;

use super::Inbox;
use crate::event::{Event, Work};
use crate::handler::{Applied, Handler};
use crate::outcome::Outcome;
use crate::store::inbox_gate::{self, Move};
use crate::store::inbox_parked::{self, Place};
use crate::store::{Receipt, inbox, inbox_skipped};

/// The reason for a reused event id.
const CONFLICT: &str = "conflict: another event with this id, but another payload, came before";

/// Where an event stands.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is to have its effect now.
    Next,
    /// An earlier version of its aggregate is missing.
    Early,
    /// It has had its effect, or is parked. So is taken what is behind its gate and has no row in the inbox any more.
    Duplicate,
    /// It never will: to be kept in `inbox_dead`, with this reason.
    Never(Outcome, String),
}

/// Its aggregate and version; none from a writer that keeps none.
pub(super) fn place(event: &Event) -> Option<Place> {
    event.envelope.aggregate_version.map(|version| (event.envelope.aggregate_id, version.get()))
}

/// The step that the gate of an event takes with it; none from a writer that keeps no versions.
pub(super) fn step(event: &Event, stands_at: u32) -> Option<Move> {
    place(event).map(|(aggregate_id, version)| Move { aggregate_id, from: Some(stands_at), to: version })
}

fn same_id(event: &Event, digest: [u8; 32]) -> Turn {
    if event.is_in_conflict_with(digest) { conflict() } else { Turn::Duplicate }
}

/// An id that was used before.
pub(super) fn conflict() -> Turn {
    Turn::Never(Outcome::Conflict, CONFLICT.to_owned())
}

impl<H: Handler> Inbox<H> {
    /// Locks the gate of the event's aggregate, if it has a version, and says where it stands.
    pub(super) async fn hold(&self, tx: &mut Transaction, event: &Event) -> sqlx::Result<u32> {
        match place(event) {
            Some((aggregate_id, _)) => inbox_gate::hold(tx, &self.source, aggregate_id).await,
            None => Ok(0),
        }
    }

    /// Decides by the inbox and the gate, which the caller holds.
    pub(super) async fn turn(&self, tx: &mut Transaction, event: &Event, stands_at: u32) -> sqlx::Result<Turn> {
        if let Some(repeat) = self.repeat(tx, event).await? {
            return Ok(repeat);
        }
        let Some((aggregate_id, version)) = place(event) else { return Ok(Turn::Next) };
        if version > stands_at {
            return Ok(if version - stands_at == 1 { Turn::Next } else { Turn::Early });
        }
        if let Some(other) = inbox::event_of(tx, &self.source, aggregate_id, version).await? {
            let reason = format!("conflict: version {version} of the {} was another event, {other}", self.noun());
            return Ok(Turn::Never(Outcome::Conflict, reason));
        }
        if inbox_skipped::covers(tx, &self.source, aggregate_id, version).await? {
            let reason = format!("late: version {version} of the {} was skipped before it came", self.noun());
            return Ok(Turn::Never(Outcome::Dead, reason));
        }
        tracing::warn!("version was passed so long ago that the inbox can't tell which event it was");
        Ok(Turn::Duplicate)
    }

    /// As [`Inbox::turn`], for an event that is not parked itself: its id may be, or its version by another event.
    pub(super) async fn turn_of_new(&self, tx: &mut Transaction, event: &Event, stands_at: u32) -> sqlx::Result<Turn> {
        let turn = self.turn(tx, event, stands_at).await?;
        let (Turn::Next | Turn::Early) = turn else { return Ok(turn) };
        if let Some(parked) = inbox_parked::with_id(tx, &self.source, event.envelope.event_id).await? {
            return Ok(if parked.place == place(event) { same_id(event, parked.payload_sha256) } else { conflict() });
        }
        let Some(place) = place(event) else { return Ok(turn) };
        let standing = inbox_parked::standing(&mut *tx, &self.source, &[place]).await?;
        Ok(match standing.first() {
            None => turn,
            Some(parked) => {
                let (version, noun, other) = (place.1, self.noun(), parked.event_id);
                let reason = format!("conflict: version {version} of the {noun} is another event, {other}");
                Turn::Never(Outcome::Conflict, reason)
            }
        })
    }

    /// What an event is whose id is recorded; none if it is not.
    pub(super) async fn repeat(&self, tx: &mut Transaction, event: &Event) -> sqlx::Result<Option<Turn>> {
        let recorded = inbox::payload_sha256(tx, &self.source, event.envelope.event_id).await?;
        Ok(recorded.map(|recorded| same_id(event, recorded)))
    }

    /// The effect of an event that is next, with its inbox row and its step of the gate; a duplicate if its id is taken.
    pub(super) async fn effect(
        &self,
        tx: &mut Transaction,
        work: &Work<H::Effect>,
        sequence: u64,
        stands_at: u32,
    ) -> sqlx::Result<Applied> {
        if inbox::record(tx, &self.source, &work.event, sequence).await? == Receipt::Duplicate {
            return Ok(Applied::Duplicate);
        }
        if let Some(step) = step(&work.event, stands_at)
            && inbox_gate::advance_all(tx, &self.source, &[step]).await? != 1
        {
            return Err(sqlx::Error::RowNotFound);
        }
        self.apply(tx, work.effect.as_slice()).await
    }

    /// Writes effects, if there are any.
    pub(super) async fn apply<'a>(
        &self,
        tx: &mut Transaction,
        effects: impl IntoIterator<Item = &'a H::Effect>,
    ) -> sqlx::Result<Applied> {
        let effects: Vec<_> = effects.into_iter().collect();
        if effects.is_empty() { Ok(Applied::Done) } else { self.handler.apply(tx, &effects).await }
    }

    /// What an aggregate is called in words for people.
    pub(super) fn noun(&self) -> &str {
        &self.source.aggregate_type
    }
}
