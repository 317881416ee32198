//! What a whole batch may do in one go, decided without a database.
//!
//! Guarantees that an event is applied only if it is new and the next version of its aggregate, as far as the gates are known or
//! assumed; and parked only if the database says that it is new and early. Assumptions are checked when they are written: keys
//! by plain INSERTs, gates by their guards. What does not fit is left for a transaction of its own.

use std::collections::{HashMap, HashSet};

use schema::aggregate::AggregateId;
use schema::ids::EventId;

use super::turn::place;
use super::work::Entry;
use crate::event::{Content, Event, Work};
use crate::message::Message;
use crate::outcome::Outcome;
use crate::store::Receipt;
use crate::store::inbox::Recorded;
use crate::store::inbox_gate::Move;
use crate::store::inbox_parked::{Place, Standing};

/// What a batch may do together.
#[derive(Debug)]
pub(super) struct Plan<'a, E> {
    /// What becomes of messages when this is committed, in stream order.
    pub(super) decided: Vec<(&'a Entry<E>, Outcome)>,
    /// The gates that this moves.
    pub(super) moves: Vec<Move>,
    /// The aggregates of those to be parked, and where their gates stand when all is applied.
    pub(super) waits: HashMap<AggregateId, u32>,
}

/// What the database knows of the events of a batch.
#[derive(Debug, Default)]
pub(super) struct Known {
    recorded: HashMap<EventId, [u8; 32]>,
    gates: HashMap<AggregateId, u32>,
    parked: HashMap<Place, Standing>,
}

impl<'a, E> Plan<'a, E> {
    /// Believes that nothing of the batch is recorded and that every gate stands before its first event. Parks nothing.
    pub(super) fn hopeful(open: &[&'a Entry<E>]) -> Self {
        let mut gates = HashMap::new();
        for (aggregate_id, version) in open.iter().filter_map(|entry| place(&entry.work()?.event)) {
            gates.entry(aggregate_id).or_insert(version - 1);
        }
        // A gate before version 1 is not there yet.
        gates.retain(|_, version| *version > 0);
        Self::make(open, None, &gates)
    }

    /// Goes by what the database says.
    pub(super) fn informed(open: &[&'a Entry<E>], known: &Known) -> Self {
        Self::make(open, Some(known), &known.gates)
    }

    /// What is to be applied.
    pub(super) fn next(&self) -> impl Iterator<Item = (&'a Message, &'a Work<E>)> {
        self.with(Outcome::is_recorded)
    }

    /// What is to be parked.
    pub(super) fn early(&self) -> impl Iterator<Item = (&'a Message, &'a Work<E>)> {
        self.with(|outcome| outcome == Outcome::Early)
    }

    fn with(&self, is_wanted: fn(Outcome) -> bool) -> impl Iterator<Item = (&'a Message, &'a Work<E>)> {
        let wanted = self.decided.iter().filter(move |(_, outcome)| is_wanted(*outcome));
        wanted.filter_map(|(entry, _)| Some((&entry.message, entry.work()?)))
    }

    /// The moves that may have passed something that was parked.
    pub(super) fn passed(&self) -> Vec<Move> {
        let is_known = |step: &&Move| step.from.is_some() || self.waits.contains_key(&step.aggregate_id);
        self.moves.iter().filter(is_known).copied().collect()
    }

    fn make(open: &[&'a Entry<E>], known: Option<&Known>, gates: &HashMap<AggregateId, u32>) -> Self {
        let mut plan = Self { decided: Vec::new(), moves: Vec::new(), waits: HashMap::new() };
        let (mut seen, mut seen_places) = (HashSet::new(), HashSet::new());
        let mut moves: HashMap<AggregateId, Move> = HashMap::new();
        for entry in open {
            let work = match &entry.content {
                Content::Event(work) => work,
                Content::Foreign => {
                    plan.decided.push((*entry, Outcome::Foreign));
                    continue;
                }
                Content::Dead(_) => continue,
            };
            if !seen.insert(work.event_id()) {
                continue;
            }
            if let Some(is_same) = known.and_then(|known| known.is_repeat(&work.event)) {
                plan.decided.extend(is_same.then_some((*entry, Outcome::Applied(Receipt::Duplicate))));
                continue;
            }
            if let Some((aggregate_id, version)) = place(&work.event) {
                let from = gates.get(&aggregate_id).copied();
                let stands_at = moves.get(&aggregate_id).map_or(from.unwrap_or_default(), |step| step.to);
                let is_ahead = version > stands_at && version - stands_at > 1;
                if is_ahead && known.is_some() && seen_places.insert((aggregate_id, version)) {
                    plan.decided.push((*entry, Outcome::Early));
                }
                if is_ahead || version <= stands_at {
                    continue;
                }
                moves.entry(aggregate_id).or_insert(Move { aggregate_id, from, to: 0 }).to = version;
            }
            plan.decided.push((*entry, work.applied()));
        }
        plan.waits = plan
            .early()
            .filter_map(|(_, work)| place(&work.event))
            .map(|(aggregate_id, _)| {
                let stands_at =
                    moves.get(&aggregate_id).map(|step| step.to).or_else(|| gates.get(&aggregate_id).copied());
                (aggregate_id, stands_at.unwrap_or_default())
            })
            .collect();
        plan.moves = moves.into_values().collect();
        plan
    }
}

impl Known {
    pub(super) fn new(recorded: Vec<Recorded>, gates: Vec<(AggregateId, u32)>, parked: Vec<Standing>) -> Self {
        Self {
            recorded: recorded.into_iter().map(|row| (row.event_id, row.payload_sha256)).collect(),
            gates: gates.into_iter().collect(),
            parked: parked.into_iter().map(|standing| (standing.place, standing)).collect(),
        }
    }

    /// Whether the event is one that is recorded or parked: the same one, or one in conflict with it. None if it is new.
    fn is_repeat(&self, event: &Event) -> Option<bool> {
        if let Some(digest) = self.recorded.get(&event.envelope.event_id) {
            return Some(!event.is_in_conflict_with(*digest));
        }
        let standing = self.parked.get(&place(event)?)?;
        let is_same = standing.event_id == event.envelope.event_id;
        Some(is_same && !event.is_in_conflict_with(standing.payload_sha256))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use bytes::Bytes;
    use chrono::DateTime;
    use schema::envelope::Envelope;

    use super::*;
    use crate::event::{Kind, Work};
    use crate::process::Batch;

    fn order_id(order: u128) -> AggregateId {
        order.to_string().parse().unwrap()
    }

    fn batch(orders: &[(u128, Option<u32>)]) -> Batch<()> {
        let entries = orders.iter().map(|(order, version)| {
            let envelope = Envelope {
                event_id: EventId::generate(),
                source: "/here".to_owned(),
                event_type: "order.created".to_owned(),
                aggregate_type: "order".to_owned(),
                aggregate_id: order_id(*order),
                aggregate_version: version.and_then(NonZeroU32::new),
                occurred_at: DateTime::UNIX_EPOCH,
            };
            let message = Message {
                subject: String::new(),
                headers: Vec::new(),
                payload: Bytes::new(),
                stream_sequence: 1,
                stored_at: DateTime::UNIX_EPOCH,
                deliveries: 1,
            };
            let event = Event { envelope, kind: Kind::Tombstone, payload_sha256: [0; 32] };
            Entry::new(message, Content::Event(Work { event, effect: None }))
        });
        Batch { reading: uuid::Uuid::nil(), entries: entries.collect() }
    }

    fn refs(batch: &Batch<()>) -> Vec<&Entry<()>> {
        batch.entries.iter().collect()
    }

    fn event(entry: &Entry<()>) -> &Event {
        &entry.work().unwrap().event
    }

    /// Which entries get an outcome, by their places in the batch.
    fn with(plan: &Plan<'_, ()>, batch: &Batch<()>, wanted: Outcome) -> Vec<usize> {
        let place = |entry: &Entry<()>| batch.entries.iter().position(|other| std::ptr::eq(other, entry)).unwrap();
        plan.decided.iter().filter(|(_, outcome)| *outcome == wanted).map(|(entry, _)| place(entry)).collect()
    }

    #[test]
    fn consecutive_versions_of_one_order_are_one_move() {
        let batch = batch(&[(1, Some(1)), (2, Some(4)), (1, Some(2)), (3, None)]);
        let mut plan = Plan::hopeful(&refs(&batch));
        assert_eq!(with(&plan, &batch, Outcome::Tombstone), [0, 1, 2, 3]);
        plan.moves.sort_by_key(|step| step.aggregate_id);
        let [one, two] = plan.moves[..] else { panic!("{plan:?}") };
        assert_eq!((one.from, one.to, two.from, two.to), (None, 2, Some(3), 4));
    }

    #[test]
    fn what_is_behind_a_gap_is_parked() {
        let batch = batch(&[(1, Some(2)), (1, Some(3)), (2, Some(1)), (2, Some(3)), (2, Some(2))]);
        let (one, two) = (order_id(1), order_id(2));
        let plan = Plan::informed(&refs(&batch), &Known::default());
        assert_eq!(with(&plan, &batch, Outcome::Tombstone), [2, 4]);
        assert_eq!(with(&plan, &batch, Outcome::Early), [0, 1, 3]);
        assert_eq!((plan.waits[&one], plan.waits[&two]), (0, 2));
        // The gate of order 2 is new, but something is parked behind it now.
        assert_eq!(plan.passed(), [Move { aggregate_id: two, from: None, to: 2 }]);
        assert!(Plan::hopeful(&refs(&batch)).waits.is_empty());
        let known = Known::new(Vec::new(), vec![(one, 1)], Vec::new());
        let plan = Plan::informed(&refs(&batch), &known);
        assert_eq!(with(&plan, &batch, Outcome::Tombstone), [0, 1, 2, 4]);
    }

    #[test]
    fn what_is_parked_is_a_duplicate_and_another_event_of_its_version_waits() {
        let batch = batch(&[(1, Some(3)), (2, Some(3)), (3, Some(3)), (3, Some(3))]);
        let standing = |index: usize, event_id| {
            let event = event(&batch.entries[index]);
            Standing { place: place(event).unwrap(), event_id, payload_sha256: event.payload_sha256 }
        };
        let same = standing(0, event(&batch.entries[0]).envelope.event_id);
        let known = Known::new(Vec::new(), Vec::new(), vec![same, standing(1, EventId::generate())]);
        let plan = Plan::informed(&refs(&batch), &known);
        assert_eq!(with(&plan, &batch, Outcome::Applied(Receipt::Duplicate)), [0]);
        assert_eq!(with(&plan, &batch, Outcome::Early), [2]);
    }

    #[test]
    fn what_is_recorded_is_a_duplicate_and_a_repeat_in_the_batch_waits() {
        let batch = batch(&[(1, Some(1)), (2, Some(1))]);
        let [first, second] = refs(&batch)[..] else { panic!("two") };
        assert_eq!(Plan::hopeful(&[first, first, second]).decided.len(), 2);
        let envelope = &event(first).envelope;
        let recorded = Recorded { event_id: envelope.event_id, payload_sha256: event(first).payload_sha256 };
        let known = Known::new(vec![recorded], vec![(envelope.aggregate_id, 1)], Vec::new());
        let plan = Plan::informed(&[first, second], &known);
        assert_eq!(with(&plan, &batch, Outcome::Applied(Receipt::Duplicate)), [0]);
        assert_eq!(with(&plan, &batch, Outcome::Tombstone), [1]);
    }
}
