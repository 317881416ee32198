//! What is parked behind a gate has its effect in the transaction that moves the gate.
//!
//! Guarantees the order of the versions, and that a transaction takes a bounded number along: what follows is marked as
//! due, and `parked` goes on from there. Relies on its caller to hold the gates. It reads what it applies, and about as
//! much again where a chain ends at a gap.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use runtime::mysql::Transaction;
use schema::aggregate::AggregateId;
use schema::ids::EventId;

use super::Inbox;
use super::tally::Unparked;
use crate::event::{Content, Work};
use crate::handler::{Applied, Handler};
use crate::store::inbox_gate::{self, Move};
use crate::store::inbox_parked::{self, Parked, Place};
use crate::store::{Receipt, inbox, inbox_due};

/// The events that are taken along.
#[derive(Debug)]
struct Line<E> {
    works: Vec<(Work<E>, u64)>,
    stored_at: Vec<DateTime<Utc>>,
    event_ids: Vec<EventId>,
    moves: HashMap<AggregateId, Move>,
    due: Vec<Place>,
}

impl<H: Handler> Inbox<H> {
    /// Applies what is next, of all gates together no more than there is room. None, and the caller rolls back, if one of
    /// their keys is taken or an effect can't be written yet.
    pub(super) async fn unpark(
        &self,
        tx: &mut Transaction,
        passed: &[Move],
        room: usize,
    ) -> sqlx::Result<Option<Unparked>> {
        let places: Vec<Place> = passed.iter().flat_map(|gate| versions(*gate, gate.to.saturating_add(1))).collect();
        if places.is_empty() {
            return Ok(Some(Unparked::default()));
        }
        let found = inbox_parked::at(tx, &self.source, &places).await?;
        if found.is_empty() {
            return Ok(Some(Unparked::default()));
        }
        let line = self.line(tx, passed, found, room).await?;
        if !line.due.is_empty() {
            inbox_due::mark(tx, &self.source, &line.due).await?;
        }
        let has_due = !line.due.is_empty();
        if line.works.is_empty() {
            return Ok(Some(Unparked { has_due, ..Unparked::default() }));
        }
        let events: Vec<_> = line.works.iter().map(|(work, sequence)| (&work.event, *sequence)).collect();
        let moves: Vec<Move> = line.moves.into_values().collect();
        if inbox::record_all(tx, &self.source, &events).await? == Receipt::Duplicate
            || inbox_gate::advance_all(tx, &self.source, &moves).await? != moves.len() as u64
            || self.apply(tx, line.works.iter().filter_map(|(work, _)| work.effect.as_ref())).await? != Applied::Done
        {
            return Ok(None);
        }
        inbox_parked::remove_all(tx, &self.source, &line.event_ids).await?;
        let outcomes = line.works.iter().map(|(work, _)| work.applied()).zip(line.stored_at).collect();
        Ok(Some(Unparked { outcomes, has_due }))
    }

    /// Who is next, gate by gate. A version that was passed by another event is due: it is in conflict. So is one that this
    /// code can't decode.
    async fn line(
        &self,
        tx: &mut Transaction,
        passed: &[Move],
        found: Vec<(Place, Parked)>,
        room: usize,
    ) -> sqlx::Result<Line<H::Effect>> {
        let mut line = Line::empty();
        let mut found: HashMap<Place, Parked> = found.into_iter().collect();
        for gate in passed {
            line.due.extend(versions(*gate, gate.to).filter(|place| found.contains_key(place)));
        }
        let mut heads: Vec<(AggregateId, u32)> = passed.iter().map(|gate| (gate.aggregate_id, gate.to)).collect();
        let mut width = 1;
        loop {
            heads.retain_mut(|(aggregate_id, stands_at)| {
                (0..width).all(|_| {
                    let place = (*aggregate_id, *stands_at + 1);
                    let taken = found.remove(&place).map(|parked| self.take(&mut line, place, parked, room));
                    *stands_at += u32::from(taken == Some(true));
                    taken == Some(true)
                })
            });
            if heads.is_empty() {
                return Ok(line);
            }
            // Twice as many each time, for a chain may be long, and no more than there is room for.
            width = (2 * width).min(room.saturating_sub(line.works.len()) / heads.len() + 1);
            let places = heads.iter().flat_map(|(aggregate_id, at)| {
                (1..=width).filter_map(|step| Some((*aggregate_id, at.checked_add(u32::try_from(step).ok()?)?)))
            });
            let places: Vec<_> = places.collect();
            found = inbox_parked::at(tx, &self.source, &places).await?.into_iter().collect();
        }
    }

    /// Whether it goes along.
    fn take(&self, line: &mut Line<H::Effect>, place: Place, parked: Parked, room: usize) -> bool {
        match self.read(&parked.message) {
            Content::Event(work) if line.works.len() < room => {
                line.add(place, parked, work);
                true
            }
            _ => {
                line.due.push(place);
                false
            }
        }
    }
}

/// The versions from where a gate stood.
fn versions(gate: Move, through: u32) -> impl Iterator<Item = Place> {
    (gate.from.unwrap_or_default() + 1..=through).map(move |version| (gate.aggregate_id, version))
}

impl<E> Line<E> {
    fn empty() -> Self {
        let (works, stored_at, event_ids, due) = Default::default();
        Self { works, stored_at, event_ids, moves: HashMap::new(), due }
    }

    fn add(&mut self, place: Place, parked: Parked, work: Work<E>) {
        let (aggregate_id, version) = place;
        let step = Move { aggregate_id, from: Some(version - 1), to: version };
        self.moves.entry(aggregate_id).or_insert(step).to = version;
        self.event_ids.push(parked.event_id);
        self.stored_at.push(parked.message.stored_at);
        self.works.push((work, parked.message.stream_sequence));
    }
}
