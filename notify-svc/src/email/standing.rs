//! How the transport stands, as emails have shown: up, in doubt, or away. One for each process; nothing of it is kept.
//!
//! A fault that may be the server's or one email's is told by other emails: the recipient is passed over for a while, and
//! the next email goes alone on a new connection. If it goes through, the server is up, and the recipient's email pays
//! when it fails again soon after that. If another recipient's email fails too, the server is away: nobody pays, and the
//! queue pauses, with backoff.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime::retry::Retry;

/// Between probes of a transport that is away.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long an email that went through says that the server is up.
const WITNESS_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a recipient is passed over at most: long enough that others are tried first, short enough for a person who
/// has the email tried again.
const PASS_OVER_MAX: Duration = Duration::from_secs(5);
/// How long a recipient is remembered after it was passed over.
const MEMORY: Duration = Duration::from_secs(600);
/// Different recipients whose emails fail, none going through: more than these are not all at fault.
const COINCIDENCE_MAX: usize = 2;
/// Recipients that are remembered: above it some are tried too early.
const TROUBLED_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Standing(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When the last email went through.
    taken_at: Option<Instant>,
    /// Recipients of emails that failed without telling whose fault it was, since an email went through.
    failing: HashSet<String>,
    /// The same of emails that were rejected.
    rejected: HashSet<String>,
    /// Recipients of emails that failed, while that says something.
    troubled: HashMap<String, Trouble>,
    is_away: bool,
    resume_at: Instant,
    pause: Retry,
}

#[derive(Debug)]
struct Trouble {
    failed_at: Instant,
    passed_over_until: Instant,
}

/// How many emails may be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Full,
    /// One more than are, if that is not a probe itself.
    Probe,
    PausedUntil(Instant),
}

impl Standing {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            taken_at: None,
            failing: HashSet::new(),
            rejected: HashSet::new(),
            troubled: HashMap::new(),
            is_away: false,
            resume_at: Instant::now(),
            pause: Retry::new(PAUSE.0, PAUSE.1),
        }))
    }

    pub(super) fn pace(&self) -> Pace {
        let state = self.state();
        match (state.is_away, state.failing.is_empty()) {
            (true, _) if Instant::now() < state.resume_at => Pace::PausedUntil(state.resume_at),
            (false, true) => Pace::Full,
            _ => Pace::Probe,
        }
    }

    /// An email went through. Whether that is news.
    pub(super) fn taken(&self, recipient: &str) -> bool {
        let mut state = self.state();
        let was_away = state.is_away;
        state.taken_at = Some(Instant::now());
        state.failing.clear();
        state.rejected.clear();
        state.troubled.remove(recipient);
        state.is_away = false;
        state.pause.reset();
        was_away
    }

    /// The transport is not there, whoever asks.
    pub(super) fn unreachable(&self) {
        self.state().pause();
    }

    /// An email failed, and it may be its own fault; its recipient is passed over for a while.
    pub(super) fn unclear(&self, recipient: &str, pass_over: Duration) {
        let mut state = self.state();
        state.pass_over(recipient, pass_over);
        state.failing.insert(recipient.to_owned());
        if state.is_away || state.failing.len() >= COINCIDENCE_MAX {
            state.pause();
        }
    }

    /// An email is known to be at fault: others for its recipient are likely to fail as it did.
    pub(super) fn pass_over(&self, recipient: &str, pass_over: Duration) {
        self.state().pass_over(recipient, pass_over);
    }

    pub(super) fn is_up(&self) -> bool {
        !self.state().is_away
    }

    /// Asked before a dialogue begins: whether another email has gone through since one for this recipient failed, and not
    /// long ago. An answer after the dialogue would count one that hung since the server was away.
    pub(super) fn has_witness(&self, recipient: &str) -> bool {
        let state = self.state();
        let (Some(trouble), Some(taken_at)) = (state.troubled.get(recipient), state.taken_at) else { return false };
        trouble.failed_at < taken_at && taken_at.elapsed() < WITNESS_TIME_MAX
    }

    /// Whether one more rejection may still be the email's own fault: a server that rejects all of them rejects us.
    pub(super) fn may_reject(&self, recipient: &str) -> bool {
        let mut state = self.state();
        let is_credible = state.rejected.contains(recipient) || state.rejected.len() < COINCIDENCE_MAX;
        if is_credible {
            state.rejected.insert(recipient.to_owned());
        }
        is_credible
    }

    /// For how long this recipient is still passed over.
    pub(super) fn passed_over(&self, recipient: &str) -> Option<Duration> {
        let until = self.state().troubled.get(recipient)?.passed_over_until;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Whether any is.
    pub(super) fn passes_over(&self) -> bool {
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

impl State {
    /// Those that failed at once count as one.
    fn pause(&mut self) {
        let now = Instant::now();
        if !self.is_away || self.resume_at <= now {
            self.is_away = true;
            self.resume_at = now + self.pause.next_delay();
        }
    }

    fn pass_over(&mut self, recipient: &str, pass_over: Duration) {
        let failed_at = Instant::now();
        let passed_over_until = failed_at + pass_over.min(PASS_OVER_MAX);
        if self.troubled.len() >= TROUBLED_MAX {
            self.troubled.clear();
        }
        let fresh = || Trouble { failed_at, passed_over_until };
        let trouble = self.troubled.entry(recipient.to_owned()).or_insert_with(fresh);
        trouble.failed_at = failed_at;
        trouble.passed_over_until = passed_over_until.max(trouble.passed_over_until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_failing_recipient_is_passed_over_and_the_others_go_on() {
        let standing = Standing::new();
        assert_eq!(standing.pace(), Pace::Full);
        standing.unclear("a", SECOND);
        standing.unclear("a", SECOND);
        assert_eq!(standing.pace(), Pace::Probe);
        assert!(standing.passed_over("a").is_some() && standing.passed_over("b").is_none());
        assert!(!standing.has_witness("a"));
        standing.taken("b");
        assert_eq!(standing.pace(), Pace::Full);
        assert!(standing.passed_over("a").is_some() && standing.has_witness("a"));
        assert!(!standing.has_witness("c"), "nothing failed");
    }

    #[test]
    fn several_failing_recipients_mean_a_server_that_is_away() {
        let standing = Standing::new();
        standing.unclear("a", SECOND);
        standing.unclear("b", SECOND);
        assert!(matches!(standing.pace(), Pace::PausedUntil(_)));
        assert!(standing.taken("c"));
        assert_eq!(standing.pace(), Pace::Full);
    }

    #[test]
    fn who_fails_again_in_an_outage_after_good_times_does_not_pay() {
        let standing = Standing::new();
        standing.taken("z");
        for recipient in ["a", "b", "a", "b"] {
            assert!(!standing.has_witness(recipient));
            standing.unclear(recipient, SECOND);
        }
    }

    #[test]
    fn a_server_that_rejects_everybody_is_not_believed() {
        let standing = Standing::new();
        assert!(standing.may_reject("a") && standing.may_reject("b") && !standing.may_reject("c"));
        standing.taken("d");
        assert!(standing.may_reject("c"));
    }
}
