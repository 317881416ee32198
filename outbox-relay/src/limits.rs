//! What becomes of an event that is larger than the broker takes.
//!
//! A limit is a setting that somebody may have just mistyped, and an event that is dead stays dead after the limit is
//! right again. So such an event first waits for a while, the limit is asked for afresh, and it is dead only if it is
//! one of very few. The same fault in events of several aggregates is taken for a wrong limit: they wait, it is said
//! loudly, and they go on by themselves once the limit allows. Only what no sensible broker takes is dead at once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{Aggregate, Event};
use crate::store::outbox_settle::Key;

/// How long an event waits before it can be dead for a limit: longer than it takes to notice and undo a mistyped one.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long it waits from then on, before it is tried again.
const LATER: Duration = Duration::from_secs(60);
/// Aggregates that may have too large an event at about the same time; if more have, the limit is wrong.
const AGGREGATES_MAX: usize = 2;
/// About the same time.
const TOGETHER: Duration = Duration::from_secs(600);
/// nats-server warns of a max_payload above this, so waiting for one is of no use.
pub const SENSIBLE_BYTES_MAX: u64 = 8 << 20;

/// An event above a limit.
#[derive(Clone, Debug)]
pub struct Over {
    pub key: Key,
    pub aggregate: Aggregate,
    pub reason: String,
    /// Whether it waited already.
    pub has_waited: bool,
}

impl Over {
    /// The event, with what is too large.
    pub fn of(event: &Event, reason: String) -> Self {
        Self { key: event.key(), aggregate: event.aggregate(), reason, has_waited: event.has_waited }
    }
}

/// An event that waits though it is its aggregate's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOff {
    pub key: Key,
    pub cause: Cause,
    pub reason: String,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// That the stream takes its subject.
    Subject,
    /// That a limit is raised, or this time is over.
    Limit(Duration),
}

/// What was decided.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Never to be published, with what to fix.
    pub dead: Vec<(Key, String)>,
    pub put_off: Vec<PutOff>,
    /// Whether the limit is taken to be wrong.
    pub suspects_limit: bool,
}

/// Remembers what was given up for a limit; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Judge(Arc<Mutex<Killed>>);

/// When events were given up, oldest first.
#[derive(Debug, Default)]
struct Killed(VecDeque<Instant>);

impl Judge {
    /// Decides on the events of a batch; `waiting` other aggregates have an event that waits for a limit.
    pub fn decide(&self, over: Vec<Over>, waiting: usize) -> Verdict {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).decide(over, waiting, Instant::now())
    }
}

impl Killed {
    fn decide(&mut self, over: Vec<Over>, waiting: usize, now: Instant) -> Verdict {
        while self.0.pop_front_if(|at| now.duration_since(*at) > TOGETHER).is_some() {}
        let aggregates: HashSet<&Aggregate> = over.iter().map(|event| &event.aggregate).collect();
        let suspects_limit = aggregates.len() + waiting + self.0.len() > AGGREGATES_MAX;
        let mut verdict = Verdict { suspects_limit, ..Verdict::default() };
        for Over { key, reason, has_waited, .. } in over {
            if has_waited && !suspects_limit {
                self.0.push_back(now);
                verdict.dead.push((key, reason));
            } else {
                let cause = Cause::Limit(if has_waited { LATER } else { PATIENCE });
                verdict.put_off.push(PutOff { key, cause, reason });
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn over(aggregate: u128, has_waited: bool) -> Over {
        let aggregate = ("order".to_owned(), Uuid::from_u128(aggregate));
        Over { key: Key { seq: 1, event_id: Uuid::nil() }, aggregate, reason: String::new(), has_waited }
    }

    #[test]
    fn an_event_above_a_limit_waits_and_is_dead_only_if_it_is_one_of_few() {
        let (mut killed, now) = (Killed::default(), Instant::now());
        assert_eq!(killed.decide(vec![over(1, false)], 0, now).put_off.len(), 1);
        assert_eq!(killed.decide(vec![over(1, true)], 0, now).dead.len(), 1);
        let of_three = killed.decide(vec![over(2, true), over(3, true), over(4, true)], 0, now);
        assert!(of_three.suspects_limit && of_three.dead.is_empty());
        assert!(killed.decide(vec![over(2, true)], 2, now).suspects_limit);
    }

    #[test]
    fn events_that_come_one_by_one_are_not_all_killed() {
        let (mut killed, now) = (Killed::default(), Instant::now());
        let dead: usize = (1..100).map(|n| killed.decide(vec![over(n, true)], 0, now).dead.len()).sum();
        assert_eq!(dead, AGGREGATES_MAX);
        assert_eq!(killed.decide(vec![over(1, true)], 0, now + TOGETHER * 2).dead.len(), 1);
    }
}
