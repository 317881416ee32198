//! What becomes of an event that is larger than the broker takes.
//!
//! A limit is a setting that somebody may have just mistyped, and an event that is dead stays dead after the limit is
//! right again. So such an event first waits for a while; then the limits are asked for again, and it is dead only if it is
//! still above them and one of very few. That it waited for another reason counts for nothing here. The same fault in events
//! of several aggregates is taken for a wrong limit: they wait, it is said loudly, and they go on by themselves once the
//! limit allows. What no sensible broker takes need not wait.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::event::{Aggregate, Event};
use crate::store::outbox_settle::Key;

/// How long an event waits before it can be dead for a limit: longer than it takes to notice and undo a mistyped one.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long it waits from then on, before it is tried again.
const LATER: Duration = Duration::from_secs(60);
/// Aggregates that may have too large an event at about the same time; if more have, the limit is wrong.
const AGGREGATES_MAX: usize = 2;
/// Limits as young as this decide on an event that is seen for the first time.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// Events above a limit that are remembered; many more than may be dead.
const REMEMBERED_MAX: usize = 10_000;
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
    /// Whether no sensible broker takes it, so that waiting is of no use.
    pub is_hopeless: bool,
}

impl Over {
    /// The event, with what is too large.
    pub fn of(event: &Event, reason: String) -> Self {
        Self { key: event.key(), aggregate: event.aggregate(), reason, is_hopeless: false }
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

/// Remembers what is above a limit and what was given up for one; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Judge(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    /// When events were given up, oldest first.
    killed: VecDeque<Instant>,
    /// Events that are not decided on yet.
    above: HashMap<Uuid, Above>,
    /// Limits that were asked for before this time decide nothing more.
    wanted: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Above {
    /// The event is decided on from then on, by limits that were asked for from then on.
    from: Instant,
    /// Whether it waited for the limit.
    has_waited: bool,
}

impl Judge {
    /// Decides on the events of a batch by limits that were asked for at this time; `waiting` other aggregates have an event
    /// that waits for a limit. An event that is not in the verdict is decided on once the limits were asked for again.
    pub fn decide(&self, over: Vec<Over>, waiting: usize, asked_at: Option<Instant>) -> Verdict {
        self.memory().decide(over, waiting, asked_at, Instant::now())
    }

    /// Whether limits that were asked for at this time are too old for a decision.
    pub fn wants_limits_after(&self, asked_at: Option<Instant>) -> bool {
        let wanted = self.memory().wanted;
        asked_at.zip(wanted).is_some_and(|(asked_at, wanted)| asked_at < wanted)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn decide(&mut self, over: Vec<Over>, waiting: usize, asked_at: Option<Instant>, now: Instant) -> Verdict {
        while self.killed.pop_front_if(|at| now.duration_since(*at) > TOGETHER).is_some() {}
        self.above.retain(|_, above| now.saturating_duration_since(above.from) < TOGETHER);
        let suspicious = over.iter().filter(|event| !event.is_hopeless).map(|event| &event.aggregate);
        let aggregates = suspicious.collect::<HashSet<_>>().len();
        let suspects_limit = aggregates + waiting + self.killed.len() > AGGREGATES_MAX;
        let mut verdict = Verdict { suspects_limit, ..Verdict::default() };
        for event in over {
            self.decide_one(event, asked_at, now, &mut verdict);
        }
        verdict
    }

    fn decide_one(&mut self, event: Over, asked_at: Option<Instant>, now: Instant, verdict: &mut Verdict) {
        let Over { key, reason, is_hopeless, .. } = event;
        let lately = now.checked_sub(FRESH_FOR).unwrap_or(now);
        let known = self.above.get(&key.event_id).copied();
        let Above { from, has_waited } = known.unwrap_or(Above { from: lately, has_waited: false });
        if now < from {
            verdict.put_off.push(PutOff { key, cause: Cause::Limit(from - now), reason });
        } else if asked_at.is_none_or(|at| at < from) {
            self.remember(key.event_id, Above { from, has_waited });
            self.wanted = Some(now);
        } else if is_hopeless || (has_waited && !verdict.suspects_limit) {
            self.above.remove(&key.event_id);
            self.killed.extend((!is_hopeless).then_some(now));
            verdict.dead.push((key, reason));
        } else {
            let delay = if has_waited { LATER } else { PATIENCE };
            // Where many wait, the limits are not asked for again for each of them.
            let slack = if verdict.suspects_limit { FRESH_FOR } else { Duration::ZERO };
            self.remember(key.event_id, Above { from: now + (delay - slack), has_waited: true });
            verdict.put_off.push(PutOff { key, cause: Cause::Limit(delay), reason });
        }
    }

    /// Where there is no room, the event is taken for a new one the next time, and is not given up.
    fn remember(&mut self, event: Uuid, above: Above) {
        if self.above.len() < REMEMBERED_MAX || self.above.contains_key(&event) {
            self.above.insert(event, above);
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::sequence::Seq;

    use super::*;

    fn over(aggregate: u128) -> Over {
        let id = Uuid::from_u128(aggregate);
        let key = Key { seq: Seq(1), event_id: id };
        Over { key, aggregate: ("order".to_owned(), id.to_string()), reason: String::new(), is_hopeless: false }
    }

    /// By limits that were asked for just now.
    fn decide(memory: &mut Memory, over: Vec<Over>, waiting: usize, now: Instant) -> Verdict {
        memory.decide(over, waiting, Some(now), now)
    }

    #[test]
    fn an_event_above_a_limit_waits_and_is_dead_only_if_it_is_one_of_few() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert_eq!(decide(&mut memory, vec![over(1)], 0, now).put_off.len(), 1);
        assert_eq!(decide(&mut memory, vec![over(1)], 2, now + PATIENCE).dead.len(), 0);
        assert_eq!(decide(&mut memory, vec![over(1)], 0, now + PATIENCE + LATER).dead.len(), 1);
        let of_three = decide(&mut memory, vec![over(2), over(3), over(4)], 0, now);
        assert!(of_three.suspects_limit && of_three.dead.is_empty());
    }

    #[test]
    fn no_event_is_dead_by_limits_that_were_asked_for_before_it_waited() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        decide(&mut memory, vec![over(1)], 0, now);
        let late = now + PATIENCE;
        let verdict = memory.decide(vec![over(1)], 0, Some(late - Duration::from_millis(1)), late);
        assert!(verdict.dead.is_empty() && verdict.put_off.is_empty() && memory.wanted == Some(late));
        assert_eq!(decide(&mut memory, vec![over(1)], 0, late).dead.len(), 1);
    }

    #[test]
    fn an_event_that_comes_back_before_its_time_waits_for_the_rest_of_it() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        decide(&mut memory, vec![over(1)], 0, now);
        let early = decide(&mut memory, vec![over(1)], 0, now + PATIENCE / 2);
        assert_eq!(early.put_off[0].cause, Cause::Limit(PATIENCE / 2));
    }

    #[test]
    fn what_no_sensible_broker_takes_is_dead_once_the_limits_were_asked_for() {
        let (mut memory, now) = (Memory::default(), Instant::now() + FRESH_FOR * 2);
        let hopeless = || vec![Over { is_hopeless: true, ..over(1) }];
        assert!(memory.decide(hopeless(), 0, Some(now - FRESH_FOR * 2), now).dead.is_empty());
        assert_eq!(decide(&mut memory, hopeless(), 9, now).dead.len(), 1);
    }

    #[test]
    fn events_that_come_one_by_one_are_not_all_killed() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let mut tried = |n, at| decide(&mut memory, vec![over(n)], 0, at).dead.len();
        let dead: usize = (1..100).map(|n| tried(n, now) + tried(n, now + PATIENCE)).sum();
        assert_eq!(dead, AGGREGATES_MAX);
    }
}
