//! How the other side stands, as attempts have shown: up, in doubt, or away. One for each process; nothing of it is kept.
//!
//! A fault that may be the other side's or one effect's, a refusal for good included, is decided by other effects: the party of
//! the effect (see [`crate::Hold::is_of`]) is passed over for a while, and the next effect goes alone. If it goes through,
//! the other side is up: the party's effect is tried at once, and pays if it fails again. If an effect of another party fails
//! too, the other side is away: nobody pays, and the queue pauses, with backoff. As long as there is no other effect, nobody
//! pays either.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime::retry::Retry;
use schema::ids::EffectId;

/// Between probes of another side that is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long an effect that went through says that the other side is up.
const WITNESS_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a party is passed over at most: long enough that others are tried first, short enough for a person who has the
/// effect tried again.
const PASS_OVER_MAX: Duration = Duration::from_secs(5);
/// How long a party is remembered after it was passed over: longer than any effect waits for its next try.
const MEMORY: Duration = Duration::from_secs(3600);
/// Effects that are tried at once because another one went through.
const WAITING_MAX: usize = 100;
/// Parties that are remembered: above it some are tried too early.
const TROUBLED_MAX: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Standing(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The last effect that went through.
    witness: Option<Witness>,
    /// Whose effects failed in a way that may be the other side's fault, since one went through.
    doubted: Parties,
    /// Parties of effects that failed, while that says something.
    troubled: HashMap<String, Trouble>,
    /// Whose effects that were tried are, where their performer said so.
    parties: HashMap<EffectId, String>,
    is_away: bool,
    resume_at: Instant,
    pause: Retry,
}

/// An effect that went through.
#[derive(Clone, Copy, Debug)]
struct Witness {
    begun_at: Instant,
    taken_at: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Parties {
    Nobody,
    One(String),
    /// They are not all at fault.
    Several,
}

#[derive(Debug)]
struct Trouble {
    failed_at: Instant,
    passed_over_until: Instant,
    /// The effect that waits for another one to go through.
    waits: Option<EffectId>,
}

/// How many effects may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Full,
    /// One more than are, if that is not a probe itself.
    Probe,
    PausedUntil(Instant),
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            witness: None,
            doubted: Parties::Nobody,
            troubled: HashMap::new(),
            parties: HashMap::new(),
            is_away: false,
            resume_at: Instant::now(),
            pause: Retry::new(PAUSE.0, PAUSE.1),
        }))
    }

    pub(crate) fn pace(&self) -> Pace {
        let state = self.state();
        match (state.is_away, &state.doubted) {
            (true, _) if Instant::now() < state.resume_at => Pace::PausedUntil(state.resume_at),
            (false, Parties::Nobody) => Pace::Full,
            _ => Pace::Probe,
        }
    }

    /// An effect went through whose attempt began then. Whether that is news.
    pub(crate) fn taken(&self, party: &str, begun_at: Instant) -> bool {
        let mut state = self.state();
        let was_away = state.is_away;
        let begun_at = state.witness.map_or(begun_at, |witness| witness.begun_at.max(begun_at));
        state.witness = Some(Witness { begun_at, taken_at: Instant::now() });
        state.doubted = Parties::Nobody;
        state.troubled.remove(party);
        state.is_away = false;
        state.pause.reset();
        was_away
    }

    /// The other side is not there, or wants less of us, whoever asks; not before `retry_after`, if it said so. Whether that is
    /// news.
    pub(crate) fn away(&self, retry_after: Option<Duration>) -> bool {
        let mut state = self.state();
        let is_news = !state.is_away;
        state.pause();
        state.resume_at = state.resume_at.max(Instant::now() + retry_after.unwrap_or_default().min(PAUSE.1));
        is_news
    }

    /// An effect failed, and it may be its own fault; its party is passed over for a while. If it `waits`, it spent no
    /// attempt.
    pub(crate) fn unclear(&self, party: &str, pass_over: Duration, waits: Option<EffectId>) {
        let mut state = self.state();
        state.pass_over(party, pass_over).waits = waits;
        state.doubted.add(party);
        if state.is_away || state.doubted == Parties::Several {
            state.pause();
        }
    }

    /// An effect is known to be at fault: others of its party are likely to fail as it did.
    pub(crate) fn pass_over(&self, party: &str, pass_over: Duration) {
        self.state().pass_over(party, pass_over);
    }

    pub(crate) fn is_up(&self) -> bool {
        !self.state().is_away
    }

    /// Asked before an attempt begins: whether another effect began and went through since one of this party failed, and not
    /// long ago. An answer after the attempt would count one that hung since the other side was away.
    pub(crate) fn has_witness(&self, party: &str) -> bool {
        let state = self.state();
        let (Some(trouble), Some(witness)) = (state.troubled.get(party), state.witness) else { return false };
        trouble.failed_at < witness.begun_at && witness.taken_at.elapsed() < WITNESS_TIME_MAX
    }

    /// Effects that failed before one began that went through: what they fail at now is their own fault. Each once.
    pub(crate) fn waiting(&self, begun_at: Instant) -> Vec<EffectId> {
        let mut state = self.state();
        let earlier = state.troubled.values_mut().filter(|trouble| trouble.failed_at < begun_at);
        earlier.filter_map(|trouble| trouble.waits.take()).take(WAITING_MAX).collect()
    }

    /// Whose an effect is, as its performer said; its subject before.
    pub(crate) fn party_of(&self, id: EffectId, subject: &str) -> String {
        self.state().parties.get(&id).map_or_else(|| subject.to_owned(), Clone::clone)
    }

    /// The performer says whose an effect is.
    pub(crate) fn is_of(&self, id: EffectId, party: &str) {
        let mut state = self.state();
        if state.parties.len() >= TROUBLED_MAX {
            state.parties.clear();
        }
        state.parties.insert(id, party.to_owned());
    }

    /// It is not tried again.
    pub(crate) fn ended(&self, id: EffectId) {
        self.state().parties.remove(&id);
    }

    /// For how long this party is still passed over.
    pub(crate) fn passed_over(&self, party: &str) -> Option<Duration> {
        let until = self.state().troubled.get(party)?.passed_over_until;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Whether any is.
    pub(crate) fn passes_over(&self) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        state.troubled.retain(|_, trouble| now < trouble.passed_over_until + MEMORY);
        state.troubled.values().any(|trouble| now < trouble.passed_over_until)
    }

    /// What is under the lock is whole between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parties {
    fn add(&mut self, party: &str) {
        *self = match self {
            Self::Nobody => Self::One(party.to_owned()),
            Self::One(only) if only == party => return,
            Self::One(_) | Self::Several => Self::Several,
        };
    }
}

impl State {
    /// Those that failed at once count as one.
    fn pause(&mut self) {
        let now = Instant::now();
        if !self.is_away || self.resume_at <= now {
            self.is_away = true;
            self.resume_at = now + self.pause.next_delay();
        }
    }

    fn pass_over(&mut self, party: &str, pass_over: Duration) -> &mut Trouble {
        let failed_at = Instant::now();
        let passed_over_until = failed_at + pass_over.min(PASS_OVER_MAX);
        if self.troubled.len() >= TROUBLED_MAX {
            self.troubled.clear();
        }
        let fresh = || Trouble { failed_at, passed_over_until, waits: None };
        let trouble = self.troubled.entry(party.to_owned()).or_insert_with(fresh);
        trouble.failed_at = failed_at;
        trouble.passed_over_until = passed_over_until.max(trouble.passed_over_until);
        trouble
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_failing_party_is_passed_over_and_the_others_go_on() {
        let standing = Standing::new();
        assert_eq!(standing.pace(), Pace::Full);
        standing.unclear("a", SECOND, None);
        standing.unclear("a", SECOND, None);
        assert_eq!(standing.pace(), Pace::Probe);
        assert!(standing.passed_over("a").is_some() && standing.passed_over("b").is_none());
        assert!(!standing.has_witness("a"));
        standing.taken("b", Instant::now());
        assert_eq!(standing.pace(), Pace::Full);
        assert!(standing.passed_over("a").is_some() && standing.has_witness("a"));
        assert!(!standing.has_witness("c"), "nothing failed");
    }

    #[test]
    fn several_failing_parties_mean_another_side_that_is_away() {
        let standing = Standing::new();
        standing.unclear("a", SECOND, None);
        standing.unclear("b", SECOND, None);
        assert!(matches!(standing.pace(), Pace::PausedUntil(_)));
        assert!(standing.taken("c", Instant::now()));
        assert_eq!(standing.pace(), Pace::Full);
    }

    #[test]
    fn another_side_that_asks_for_time_gets_it() {
        let standing = Standing::new();
        assert!(standing.away(Some(Duration::from_secs(20))));
        assert!(!standing.away(None));
        let Pace::PausedUntil(resume_at) = standing.pace() else { panic!("it is away") };
        assert!(resume_at > Instant::now() + Duration::from_secs(10));
        assert!(standing.taken("a", Instant::now()) && !standing.taken("a", Instant::now()));
        assert_eq!(standing.pace(), Pace::Full);
    }

    #[test]
    fn who_fails_again_in_an_outage_after_good_times_does_not_pay() {
        let standing = Standing::new();
        standing.taken("z", Instant::now());
        for party in ["a", "b", "a", "b"] {
            assert!(!standing.has_witness(party));
            standing.unclear(party, SECOND, None);
        }
    }

    #[test]
    fn an_effect_that_began_before_another_failed_tells_nothing_about_the_other_side_since() {
        let standing = Standing::new();
        let before = Instant::now();
        standing.unclear("a", SECOND, None);
        standing.taken("b", before);
        assert!(!standing.has_witness("a"));
        standing.taken("c", Instant::now());
        standing.taken("d", before);
        assert!(standing.has_witness("a"));
    }

    #[test]
    fn who_waits_is_tried_once_when_another_that_began_later_went_through() {
        let (standing, before) = (Standing::new(), Instant::now());
        let waits = EffectId::generate();
        standing.unclear("a", SECOND, Some(waits));
        standing.unclear("b", SECOND, None);
        assert_eq!(standing.waiting(before), []);
        assert_eq!(standing.waiting(Instant::now()), [waits]);
        assert_eq!(standing.waiting(Instant::now()), []);
    }
}
