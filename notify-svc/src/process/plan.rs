//! What a whole batch may do in one go, decided without a database.
//!
//! Guarantees that an event is applied only if it is new and the next version of its order, as far as the gates are known or
//! assumed; and parked only if the database says that it is new and early. Assumptions are checked when they are written: keys
//! by plain INSERTs, gates by their guards. What does not fit is left for a transaction of its own.

use std::collections::{HashMap, HashSet};

use schema::aggregate::AggregateId;
use schema::ids::EventId;

use super::Work;
use super::turn::place;
use super::unpark::Passed;
use crate::event::Event;
use crate::store::inbox::Recorded;
use crate::store::inbox_gate::Move;
use crate::store::inbox_parked::{Place, Standing};

/// What a batch of events may do together. The numbers are indexes into the `works` that it was made of.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// To be applied.
    pub(super) next: Vec<usize>,
    /// Recorded or parked before, with the same payload.
    pub(super) duplicates: Vec<usize>,
    /// To be parked.
    pub(super) early: Vec<usize>,
    /// The gates that this moves.
    pub(super) moves: Vec<Move>,
    /// The orders of those to be parked, and where their gates stand when all is applied.
    pub(super) waits: HashMap<AggregateId, u32>,
}

/// What the database knows of the events of a batch.
struct Known {
    recorded: HashMap<EventId, [u8; 32]>,
    parked: HashMap<Place, Standing>,
}

impl Plan {
    /// Believes that nothing of the batch is recorded and that every gate stands before its first event. Parks nothing.
    pub(super) fn hopeful(works: &[Work]) -> Self {
        let mut stands_at = HashMap::new();
        for work in works {
            if let Some(version) = work.event.envelope.aggregate_version {
                stands_at.entry(work.event.envelope.aggregate_id).or_insert(version.get() - 1);
            }
        }
        // A gate before version 1 is not there yet.
        stands_at.retain(|_, version| *version > 0);
        Self::make(works, None, stands_at)
    }

    /// Goes by what the database says.
    pub(super) fn informed(
        works: &[Work],
        recorded: &[Recorded],
        gates: &[(AggregateId, u32)],
        parked: &[Standing],
    ) -> Self {
        let recorded = recorded.iter().map(|row| (row.event_id, row.payload_sha256)).collect();
        let parked = parked.iter().map(|standing| (standing.place, *standing)).collect();
        Self::make(works, Some(&Known { recorded, parked }), gates.iter().copied().collect())
    }

    /// What the moves have passed, and may have been parked.
    pub(super) fn passed(&self) -> Vec<Passed> {
        let is_known = |step: &&Move| step.from.is_some() || self.waits.contains_key(&step.aggregate_id);
        let passed = self.moves.iter().filter(is_known);
        passed
            .map(|step| Passed { order: step.aggregate_id, from: step.from.unwrap_or_default(), to: step.to })
            .collect()
    }

    fn make(works: &[Work], known: Option<&Known>, gates: HashMap<AggregateId, u32>) -> Self {
        let mut plan = Self::default();
        let mut seen = HashSet::new();
        let mut seen_places = HashSet::new();
        let mut moves: HashMap<AggregateId, Move> = HashMap::new();
        for (index, Work { event, .. }) in works.iter().enumerate() {
            if !seen.insert(event.envelope.event_id) {
                continue;
            }
            if let Some(is_same) = known.and_then(|known| known.is_repeat(event)) {
                plan.duplicates.extend(is_same.then_some(index));
                continue;
            }
            if let Some((order, version)) = place(event) {
                let from = gates.get(&order).copied();
                let stands_at = moves.get(&order).map_or(from.unwrap_or_default(), |step| step.to);
                let is_ahead = version > stands_at && version - stands_at > 1;
                if is_ahead && known.is_some() && seen_places.insert((order, version)) {
                    plan.early.push(index);
                }
                if is_ahead || version <= stands_at {
                    continue;
                }
                moves.entry(order).or_insert(Move { aggregate_id: order, from, to: 0 }).to = version;
            }
            plan.next.push(index);
        }
        for (order, _) in plan.early.iter().filter_map(|index| place(&works[*index].event)) {
            let stands_at = moves.get(&order).map(|step| step.to).or_else(|| gates.get(&order).copied());
            plan.waits.insert(order, stands_at.unwrap_or_default());
        }
        plan.moves = moves.into_values().collect();
        plan
    }
}

impl Known {
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

    use chrono::Utc;
    use schema::envelope::Envelope;

    use super::*;
    use crate::event::{Content, Event};

    fn order_id(order: u128) -> AggregateId {
        order.to_string().parse().unwrap()
    }

    fn work(order: u128, version: Option<u32>) -> Work {
        let envelope = Envelope {
            event_id: EventId::generate(),
            source: String::new(),
            event_type: String::new(),
            aggregate_type: "order".to_owned(),
            aggregate_id: order_id(order),
            aggregate_version: version.and_then(NonZeroU32::new),
            occurred_at: Utc::now(),
        };
        let event = Event { envelope, content: Content::Tombstone, payload_sha256: [1; 32] };
        Work { place: 0, event, notification: None }
    }

    #[test]
    fn consecutive_versions_of_one_order_are_one_move() {
        let works = [work(1, Some(1)), work(2, Some(4)), work(1, Some(2)), work(3, None)];
        let mut plan = Plan::hopeful(&works);
        assert_eq!(plan.next, [0, 1, 2, 3]);
        plan.moves.sort_by_key(|step| step.aggregate_id);
        let [one, two] = plan.moves[..] else { panic!("{plan:?}") };
        assert_eq!((one.from, one.to, two.from, two.to), (None, 2, Some(3), 4));
    }

    #[test]
    fn what_is_behind_a_gap_is_parked() {
        let works = [work(1, Some(2)), work(1, Some(3)), work(2, Some(1)), work(2, Some(3)), work(2, Some(2))];
        let plan = Plan::informed(&works, &[], &[], &[]);
        assert_eq!((&plan.next[..], &plan.early[..]), (&[2, 4][..], &[0, 1, 3][..]));
        assert_eq!((plan.waits[&order_id(1)], plan.waits[&order_id(2)]), (0, 2));
        // The gate of order 2 is new, but something is parked behind it now.
        assert_eq!(plan.passed(), [Passed { order: order_id(2), from: 0, to: 2 }]);
        assert!(Plan::hopeful(&works).early.is_empty());
        assert_eq!(Plan::informed(&works, &[], &[(order_id(1), 1)], &[]).next, [0, 1, 2, 4]);
    }

    #[test]
    fn what_is_parked_is_a_duplicate_and_another_event_of_its_version_waits() {
        let works = [work(1, Some(3)), work(2, Some(3)), work(3, Some(3)), work(3, Some(3))];
        let standing = |index: usize, event_id| Standing {
            place: place(&works[index].event).unwrap(),
            event_id,
            payload_sha256: [1; 32],
        };
        let parked = [standing(0, works[0].event.envelope.event_id), standing(1, EventId::generate())];
        let plan = Plan::informed(&works, &[], &[], &parked);
        assert_eq!((plan.duplicates, plan.early), (vec![0], vec![2]));
    }

    #[test]
    fn what_is_recorded_is_a_duplicate_and_a_repeat_in_the_batch_waits() {
        let works = [work(1, Some(1)), work(2, Some(1))];
        let repeated = [works[0].clone(), works[0].clone(), works[1].clone()];
        assert_eq!(Plan::hopeful(&repeated).next, [0, 2]);
        let recorded = Recorded { event_id: works[0].event.envelope.event_id, payload_sha256: [1; 32] };
        let plan = Plan::informed(&works, &[recorded], &[(order_id(1), 1)], &[]);
        assert_eq!((plan.duplicates, plan.next), (vec![0], vec![1]));
    }
}
