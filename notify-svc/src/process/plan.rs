//! What a whole batch may do in one go, decided without a database.
//!
//! Guarantees that an event is planned only if it is next in its order's versions, by what is known or believed of the
//! gates, and is new. What is believed is checked when it is written: keys by plain INSERTs, gates by their guards. An
//! event that does not fit is set aside, and with it the younger versions of its order.

use std::collections::{HashMap, HashSet};

use schema::ids::EventId;
use uuid::Uuid;

use super::Work;
use crate::store::inbox::Recorded;
use crate::store::inbox_gate::Move;

/// What a batch of events may do together. The numbers are places in the batch.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// To be applied.
    pub(super) next: Vec<usize>,
    /// Recorded before, with the same payload.
    pub(super) duplicates: Vec<usize>,
    /// The gates that this moves.
    pub(super) moves: Vec<Move>,
}

impl Plan {
    /// Believes that nothing of the batch is recorded and that every gate stands before its first event.
    pub(super) fn hopeful(works: &[Work]) -> Self {
        let mut stands_at = HashMap::new();
        for work in works {
            if let Some(version) = work.event.envelope.aggregate_version {
                stands_at.entry(work.event.envelope.aggregate_id).or_insert(version.get() - 1);
            }
        }
        Self::make(works, &HashMap::new(), stands_at)
    }

    /// Goes by what the database says.
    pub(super) fn informed(works: &[Work], recorded: &[Recorded], gates: &[(Uuid, u32)]) -> Self {
        let recorded = recorded.iter().map(|row| (row.event_id, row.payload_sha256)).collect();
        Self::make(works, &recorded, gates.iter().copied().collect())
    }

    fn make(works: &[Work], recorded: &HashMap<EventId, [u8; 32]>, mut stands_at: HashMap<Uuid, u32>) -> Self {
        let mut plan = Self::default();
        let mut seen = HashSet::new();
        let mut moves: HashMap<Uuid, Move> = HashMap::new();
        for (index, Work { event, .. }) in works.iter().enumerate() {
            if !seen.insert(event.envelope.event_id) {
                continue;
            }
            if let Some(digest) = recorded.get(&event.envelope.event_id) {
                if !event.is_in_conflict_with(*digest) {
                    plan.duplicates.push(index);
                }
                continue;
            }
            if let Some(version) = event.envelope.aggregate_version {
                let aggregate_id = event.envelope.aggregate_id;
                let gate = stands_at.entry(aggregate_id).or_default();
                if gate.checked_add(1) != Some(version.get()) {
                    continue;
                }
                moves.entry(aggregate_id).or_insert(Move { aggregate_id, from: *gate, to: 0 }).to = version.get();
                *gate = version.get();
            }
            plan.next.push(index);
        }
        plan.moves = moves.into_values().collect();
        plan
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use chrono::Utc;
    use schema::envelope::Envelope;

    use super::*;
    use crate::event::{Content, Event};

    fn work(order: u128, version: Option<u32>) -> Work {
        let envelope = Envelope {
            event_id: EventId::generate(),
            source: String::new(),
            event_type: String::new(),
            aggregate_type: "order".to_owned(),
            aggregate_id: Uuid::from_u128(order),
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
        assert_eq!((one.from, one.to, two.from, two.to), (0, 2, 3, 4));
    }

    #[test]
    fn a_gap_sets_the_younger_versions_aside() {
        let works = [work(1, Some(2)), work(1, Some(3)), work(2, Some(1)), work(2, Some(3)), work(2, Some(2))];
        let plan = Plan::informed(&works, &[], &[]);
        assert_eq!(plan.next, [2, 4]);
        assert_eq!(Plan::informed(&works, &[], &[(Uuid::from_u128(1), 1)]).next, [0, 1, 2, 4]);
    }

    #[test]
    fn what_is_recorded_is_a_duplicate_and_a_repeat_in_the_batch_waits() {
        let works = [work(1, Some(1)), work(2, Some(1))];
        let repeated = [works[0].clone(), works[0].clone(), works[1].clone()];
        assert_eq!(Plan::hopeful(&repeated).next, [0, 2]);
        let recorded = Recorded { event_id: works[0].event.envelope.event_id, payload_sha256: [1; 32] };
        let plan = Plan::informed(&works, &[recorded], &[(Uuid::from_u128(1), 1)]);
        assert_eq!((plan.duplicates, plan.next), (vec![0], vec![1]));
    }
}
