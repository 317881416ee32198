//! Sorts a claimed batch: what may be published now, what waits, and what never can be.
//!
//! Guarantees that nothing overtakes an elder of its aggregate: behind one that waits for its next attempt, is dead,
//! faulty or paused they are held, so that a claim is never filled with what can't be published.

use std::collections::HashSet;

use crate::event::{Aggregate, Event};
use crate::pause::Pauses;
use crate::store::outbox::PendingRow;
use crate::store::outbox_settle::Key;
use crate::subject::Pattern;

/// A batch, sorted.
#[derive(Debug, Default)]
pub struct Claimed {
    /// To be published, in `seq` order.
    pub due: Vec<Event>,
    /// Never to be published, with what to fix.
    pub faulty: Vec<(Key, String)>,
    /// To be held: paused, or behind an elder that is dead or held.
    pub held: Vec<Key>,
}

/// What an event must satisfy.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `ce-source` of the events.
    pub source: String,
    /// Subjects that the stream takes.
    pub subjects: Vec<Pattern>,
    /// Subjects that are paused now.
    pub pauses: Pauses,
}

impl Claimed {
    /// Sorts rows given in `seq` order; `behind` are the seqs that have an elder in the table that is not to be
    /// published now.
    pub fn sort(rows: Vec<PendingRow>, behind: &HashSet<u64>, rules: &Rules) -> Self {
        let mut sorted = Self::default();
        let mut stopped: HashSet<Aggregate> = HashSet::new();
        let paused = rules.pauses.now();
        for row in rows {
            let aggregate = (row.aggregate_type.clone(), row.aggregate_id);
            if behind.contains(&row.seq) || stopped.contains(&aggregate) || paused.include(&row.subject) {
                sorted.held.push(row.key());
                stopped.insert(aggregate);
            } else {
                let key = row.key();
                match rules.event(row) {
                    Ok(event) => sorted.due.push(event),
                    Err(reason) => {
                        sorted.faulty.push((key, reason));
                        stopped.insert(aggregate);
                    }
                }
            }
        }
        sorted
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.faulty.is_empty() && self.held.is_empty()
    }
}

impl Rules {
    fn event(&self, row: PendingRow) -> Result<Event, String> {
        let event = Event::from_row(row, &self.source)?;
        if !self.subjects.iter().any(|pattern| pattern.matches(&event.subject)) {
            let subjects: Vec<_> = self.subjects.iter().map(Pattern::as_str).collect();
            return Err(format!(
                "subject {:?} is not one that the stream takes: {}",
                event.subject,
                subjects.join(", ")
            ));
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::column::{JsonText, Moment};

    fn row(seq: u64, aggregate: u128) -> PendingRow {
        PendingRow {
            seq,
            event_id: Uuid::now_v7(),
            aggregate_type: "order".to_owned(),
            aggregate_id: Uuid::from_u128(aggregate),
            aggregate_version: None,
            event_type: "order.created".to_owned(),
            subject: "order.created".to_owned(),
            payload: Some(JsonText("{}".into())),
            headers: None,
            occurred_at: Some(Moment("2026-11-22T11:30:00Z".parse().ok())),
            attempts: 0,
            heal_epoch: 0,
            is_discarded: false,
        }
    }

    fn sort(rows: Vec<PendingRow>, behind_dead: &[u64]) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
        let rules =
            Rules { source: "/test".to_owned(), subjects: vec!["order.>".parse().unwrap()], pauses: Pauses::default() };
        let sorted = Claimed::sort(rows, &behind_dead.iter().copied().collect(), &rules);
        (
            sorted.due.iter().map(|event| event.seq).collect(),
            sorted.faulty.iter().map(|(key, _)| key.seq).collect(),
            sorted.held.iter().map(|key| key.seq).collect(),
        )
    }

    #[test]
    fn younger_events_are_held_behind_a_faulty_one() {
        let faulty = PendingRow { subject: "order.*".to_owned(), ..row(1, 1) };
        assert_eq!(sort(vec![faulty, row(2, 2), row(3, 1), row(4, 1)], &[]), (vec![2], vec![1], vec![3, 4]));
    }

    #[test]
    fn events_behind_an_elder_in_the_table_are_held_with_all_that_follow() {
        assert_eq!(sort(vec![row(5, 1), row(6, 1), row(7, 2)], &[5]), (vec![7], vec![], vec![5, 6]));
    }

    #[test]
    fn an_event_for_a_subject_that_the_stream_does_not_take_is_faulty() {
        let foreign = PendingRow { subject: "invoice.created".to_owned(), ..row(1, 1) };
        assert_eq!(sort(vec![foreign], &[]), (vec![], vec![1], vec![]));
    }
}
