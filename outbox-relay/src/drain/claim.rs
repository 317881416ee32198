//! Sorts a claimed batch: what may be published now, what waits, and what never can be.
//!
//! Guarantees that nothing overtakes an earlier event of its aggregate: behind one that waits, is dead, faulty or paused they
//! are held, so that a claim is never filled with what can't be published. What the stream doesn't take now is no fault of
//! the event: it waits, and other aggregates go on.

use std::collections::HashSet;

use schema::sequence::Seq;

use crate::event::{Aggregate, Event};
use crate::hold::pause::Pauses;
use crate::limits::{Cause, Over, PutOff, SENSIBLE_BYTES_MAX};
use crate::reason::reason;
use crate::store::outbox::PendingRow;
use crate::store::outbox_settle::Key;
use crate::terms::Terms;

/// A batch, sorted.
#[derive(Debug, Default)]
pub struct Claimed {
    /// To be published, in `seq` order.
    pub due: Vec<Event>,
    /// Above a limit: to be decided on.
    pub over: Vec<Over>,
    pub aside: Aside,
}

/// What is not published now.
#[derive(Debug, Default)]
pub struct Aside {
    /// Never to be published: with what to fix.
    pub faulty: Vec<(Key, String)>,
    /// To be held: paused, or behind an earlier event that is dead or held.
    pub held: Vec<Key>,
    /// To be held until the broker takes them.
    pub put_off: Vec<PutOff>,
}

/// What an event must satisfy.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `ce-source` of the events.
    pub source: String,
    /// What the stream takes.
    pub terms: Terms,
    /// Subjects that are paused now.
    pub pauses: Pauses,
}

impl Claimed {
    /// Sorts rows given in `seq` order; `behind` are the seqs that have an earlier event in the table that is not to be
    /// published now, `limit` are the bytes of payload that were read.
    pub fn sort(rows: Vec<PendingRow>, behind: &HashSet<Seq>, rules: &Rules, limit: u64) -> Self {
        let mut sorted = Self::default();
        let mut stopped: HashSet<Aggregate> = HashSet::new();
        let paused = rules.pauses.now();
        for row in rows {
            let aggregate = (row.aggregate_type.clone(), row.aggregate_id.clone());
            if behind.contains(&row.seq) || stopped.contains(&aggregate) || paused.include(&row.subject) {
                sorted.aside.held.push(row.key());
                stopped.insert(aggregate);
            } else if !sorted.admit(row, rules, limit) {
                stopped.insert(aggregate);
            }
        }
        sorted
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.over.is_empty() && self.aside.is_empty()
    }

    /// Sorts a row in whose way nothing stands; whether it is due.
    fn admit(&mut self, row: PendingRow, rules: &Rules, limit: u64) -> bool {
        let key = row.key();
        if row.payload.is_none() {
            let said = format_args!(
                "payload of {} bytes exceeds the max payload of {limit} bytes that the broker takes: store the body elsewhere",
                row.payload_bytes
            );
            let is_hopeless = row.payload_bytes > SENSIBLE_BYTES_MAX;
            let aggregate = (row.aggregate_type, row.aggregate_id);
            self.over.push(Over { key, aggregate, reason: reason(said), is_hopeless });
            return false;
        }
        let event = match Event::from_row(row, &rules.source) {
            Ok(event) => event,
            Err(reason) => {
                self.aside.faulty.push((key, reason));
                return false;
            }
        };
        if let Some(taken) = rules.terms.now().filter(|taken| !taken.takes(&event.subject)) {
            let said =
                format_args!("subject {:?} is not one that the stream takes now: {}", event.subject, taken.said());
            self.aside.put_off.push(PutOff { key, cause: Cause::Subject, reason: reason(said) });
            return false;
        }
        self.due.push(event);
        true
    }
}

impl Aside {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.events() == 0
    }

    /// How many events are.
    pub fn events(&self) -> usize {
        self.faulty.len() + self.held.len() + self.put_off.len()
    }
}

/// The first row of each aggregate, of rows in `seq` order; what stops it stops those behind it.
pub fn oldest_of_each(rows: &[PendingRow]) -> Vec<Seq> {
    let mut seen = HashSet::new();
    let oldest = rows.iter().filter(|row| seen.insert((&row.aggregate_type, &row.aggregate_id)));
    oldest.map(|row| row.seq).collect()
}

/// Rows of about this size of which a claim can read all that it asks for, with some room for larger ones.
pub fn rows_that_fit(row_bytes: usize, bytes_max: usize) -> u32 {
    let rows = (bytes_max / 10 * 9).checked_div(row_bytes).unwrap_or(usize::MAX);
    u32::try_from(rows.max(1)).unwrap_or(u32::MAX)
}

/// The last place below `last` where none is under way: behind it no row can appear. Mostly just before the first.
pub fn last_gap(under_way: &HashSet<Seq>, last: Seq) -> Seq {
    (0..last.0).rev().map(Seq).find(|seq| !under_way.contains(seq)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::heal_epoch::HealEpoch;
    use crate::store::column::{JsonText, Moment};
    use crate::subject::Pattern;
    use crate::terms::Taken;

    fn row(seq: u64, aggregate: u128) -> PendingRow {
        PendingRow {
            seq: Seq(seq),
            event_id: Uuid::now_v7(),
            aggregate_type: "order".to_owned(),
            aggregate_id: aggregate.to_string(),
            aggregate_version: None,
            event_type: "order.created".to_owned(),
            subject: "order.created".to_owned(),
            payload: Some(JsonText("{}".into())),
            headers: None,
            occurred_at: Some(Moment("2026-11-22T11:30:00Z".parse().ok())),
            attempts: 0,
            heal_epoch: HealEpoch::NONE,
            is_discarded: false,
            payload_bytes: 2,
            headers_bytes: 0,
            waited_us: 0,
            is_far_off: false,
        }
    }

    fn sorted(rows: Vec<PendingRow>, behind_dead: &[u64]) -> Claimed {
        let terms = Terms::default();
        terms.note(Taken { subjects: vec![Pattern::of_stream("order.>")], message_bytes_max: None });
        let rules = Rules { source: "/test".to_owned(), terms, pauses: Pauses::default() };
        Claimed::sort(rows, &behind_dead.iter().copied().map(Seq).collect(), &rules, 1_000)
    }

    fn sort(rows: Vec<PendingRow>, behind_dead: &[u64]) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
        let Claimed { due, aside, .. } = sorted(rows, behind_dead);
        (
            due.iter().map(|event| event.seq.0).collect(),
            aside.faulty.iter().map(|(key, _)| key.seq.0).collect(),
            aside.held.iter().map(|key| key.seq.0).collect(),
        )
    }

    #[test]
    fn later_events_are_held_behind_a_faulty_one() {
        let faulty = PendingRow { subject: "order.*".to_owned(), ..row(1, 1) };
        assert_eq!(sort(vec![faulty, row(2, 2), row(3, 1), row(4, 1)], &[]), (vec![2], vec![1], vec![3, 4]));
    }

    #[test]
    fn events_behind_an_earlier_one_in_the_table_are_held_with_all_that_follow() {
        assert_eq!(sort(vec![row(5, 1), row(6, 1), row(7, 2)], &[5]), (vec![7], vec![], vec![5, 6]));
    }

    #[test]
    fn what_the_stream_does_not_take_now_waits_with_what_follows_it() {
        let foreign = PendingRow { subject: "invoice.created".to_owned(), ..row(1, 1) };
        let claimed = sorted(vec![foreign, row(2, 1), row(3, 2)], &[]);
        assert_eq!(claimed.aside.put_off[0].key.seq, Seq(1));
        assert!(claimed.aside.put_off[0].reason.contains("invoice.created"));
        assert_eq!((claimed.aside.held[0].seq, claimed.due.len()), (Seq(2), 1));
    }

    #[test]
    fn a_payload_above_the_limit_is_to_be_decided_on() {
        let large = |seq, payload_bytes| PendingRow { payload: None, payload_bytes, ..row(seq, seq.into()) };
        let claimed = sorted(vec![large(1, 1_001), large(2, SENSIBLE_BYTES_MAX + 1), row(3, 1)], &[]);
        let over: Vec<_> = claimed.over.iter().map(|over| (over.key.seq.0, over.is_hopeless)).collect();
        assert_eq!(over, [(1, false), (2, true)]);
        assert_eq!((claimed.aside.held[0].seq, claimed.due.len()), (Seq(3), 0));
    }

    #[test]
    fn a_row_can_appear_up_to_the_last_gap_and_no_further() {
        let of = |seqs: &[u64]| {
            let last = Seq(*seqs.iter().max().unwrap());
            last_gap(&seqs.iter().copied().map(Seq).collect(), last).0
        };
        assert_eq!(of(&[5, 6, 7]), 4);
        assert_eq!(of(&[5, 7, 9]), 8);
        assert_eq!(of(&[5, 6, 9, 10]), 8);
        assert_eq!(of(&[1, 2]), 0);
    }
}
