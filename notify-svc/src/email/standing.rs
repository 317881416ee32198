//! How the transport stands, as emails have shown: up, in doubt, or away. One for each process; nothing of it is kept.
//!
//! A fault that may be the server's or one email's, a refusal for good included, is decided by other emails: the recipient is
//! passed over for a while, and the next email goes alone on a new connection. If it goes through, the server is up: the
//! recipient's email is tried at once, and pays if it fails again. If another recipient's email fails too, the server is
//! away: nobody pays, and the queue pauses, with backoff. As long as there is no other email, nobody pays either.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime::retry::Retry;
use schema::ids::NotificationId;

/// Between probes of a transport that is away.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long an email that went through says that the server is up.
const WITNESS_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a recipient is passed over at most: long enough that others are tried first, short enough for a person who
/// has the email tried again.
const PASS_OVER_MAX: Duration = Duration::from_secs(5);
/// How long a recipient is remembered after it was passed over: longer than any email waits for its next try.
const MEMORY: Duration = Duration::from_secs(3600);
/// Emails that are tried at once because another one went through.
const WAITING_MAX: usize = 100;
/// Recipients that are remembered: above it some are tried too early.
const TROUBLED_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Standing(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The last email that went through.
    witness: Option<Witness>,
    /// To whom emails failed in a way that may be the server's fault, since an email went through.
    doubted: Recipients,
    /// Recipients of emails that failed, while that says something.
    troubled: HashMap<String, Trouble>,
    is_away: bool,
    resume_at: Instant,
    pause: Retry,
}

/// An email that went through.
#[derive(Clone, Copy, Debug)]
struct Witness {
    begun_at: Instant,
    taken_at: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Recipients {
    Nobody,
    One(String),
    /// They are not all at fault.
    Several,
}

#[derive(Debug)]
struct Trouble {
    failed_at: Instant,
    passed_over_until: Instant,
    /// The email that waits for another one to go through.
    waits: Option<NotificationId>,
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
            witness: None,
            doubted: Recipients::Nobody,
            troubled: HashMap::new(),
            is_away: false,
            resume_at: Instant::now(),
            pause: Retry::new(PAUSE.0, PAUSE.1),
        }))
    }

    pub(super) fn pace(&self) -> Pace {
        let state = self.state();
        match (state.is_away, &state.doubted) {
            (true, _) if Instant::now() < state.resume_at => Pace::PausedUntil(state.resume_at),
            (false, Recipients::Nobody) => Pace::Full,
            _ => Pace::Probe,
        }
    }

    /// An email went through whose dialogue began then. Whether that is news.
    pub(super) fn taken(&self, recipient: &str, begun_at: Instant) -> bool {
        let mut state = self.state();
        let was_away = state.is_away;
        let begun_at = state.witness.map_or(begun_at, |witness| witness.begun_at.max(begun_at));
        state.witness = Some(Witness { begun_at, taken_at: Instant::now() });
        state.doubted = Recipients::Nobody;
        state.troubled.remove(recipient);
        state.is_away = false;
        state.pause.reset();
        was_away
    }

    /// The transport is not there, whoever asks.
    pub(super) fn unreachable(&self) {
        self.state().pause();
    }

    /// An email failed, and it may be its own fault; its recipient is passed over for a while. If it `waits`, it spent no
    /// attempt.
    pub(super) fn unclear(&self, recipient: &str, pass_over: Duration, waits: Option<NotificationId>) {
        let mut state = self.state();
        state.pass_over(recipient, pass_over).waits = waits;
        state.doubted.add(recipient);
        if state.is_away || state.doubted == Recipients::Several {
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

    /// Asked before a dialogue begins: whether another email began and went through since one for this recipient failed, and
    /// not long ago. An answer after the dialogue would count one that hung since the server was away.
    pub(super) fn has_witness(&self, recipient: &str) -> bool {
        let state = self.state();
        let (Some(trouble), Some(witness)) = (state.troubled.get(recipient), state.witness) else { return false };
        trouble.failed_at < witness.begun_at && witness.taken_at.elapsed() < WITNESS_TIME_MAX
    }

    /// Emails that failed before one began that went through: what they are refused for now is their own fault. Each once.
    pub(super) fn waiting(&self, begun_at: Instant) -> Vec<NotificationId> {
        let mut state = self.state();
        let earlier = state.troubled.values_mut().filter(|trouble| trouble.failed_at < begun_at);
        earlier.filter_map(|trouble| trouble.waits.take()).take(WAITING_MAX).collect()
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

impl Recipients {
    fn add(&mut self, recipient: &str) {
        *self = match self {
            Self::Nobody => Self::One(recipient.to_owned()),
            Self::One(only) if only == recipient => return,
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

    fn pass_over(&mut self, recipient: &str, pass_over: Duration) -> &mut Trouble {
        let failed_at = Instant::now();
        let passed_over_until = failed_at + pass_over.min(PASS_OVER_MAX);
        if self.troubled.len() >= TROUBLED_MAX {
            self.troubled.clear();
        }
        let fresh = || Trouble { failed_at, passed_over_until, waits: None };
        let trouble = self.troubled.entry(recipient.to_owned()).or_insert_with(fresh);
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
    fn one_failing_recipient_is_passed_over_and_the_others_go_on() {
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
    fn several_failing_recipients_mean_a_server_that_is_away() {
        let standing = Standing::new();
        standing.unclear("a", SECOND, None);
        standing.unclear("b", SECOND, None);
        assert!(matches!(standing.pace(), Pace::PausedUntil(_)));
        assert!(standing.taken("c", Instant::now()));
        assert_eq!(standing.pace(), Pace::Full);
    }

    #[test]
    fn who_fails_again_in_an_outage_after_good_times_does_not_pay() {
        let standing = Standing::new();
        standing.taken("z", Instant::now());
        for recipient in ["a", "b", "a", "b"] {
            assert!(!standing.has_witness(recipient));
            standing.unclear(recipient, SECOND, None);
        }
    }

    #[test]
    fn an_email_that_began_before_another_failed_tells_nothing_about_the_server_since() {
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
        let waits = NotificationId::generate();
        standing.unclear("a", SECOND, Some(waits));
        standing.unclear("b", SECOND, None);
        assert_eq!(standing.waiting(before), []);
        assert_eq!(standing.waiting(Instant::now()), [waits]);
        assert_eq!(standing.waiting(Instant::now()), []);
    }
}
