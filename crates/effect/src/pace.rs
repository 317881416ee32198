//! How the other side stands, as attempts have shown: up, or away. One for each process; nothing of it is kept.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime::retry::Retry;

/// Between probes of another side that is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

#[derive(Debug)]
pub(crate) struct Standing(Mutex<State>);

#[derive(Debug)]
struct State {
    is_away: bool,
    resume_at: Instant,
    pause: Retry,
}

/// How many effects may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Full,
    /// One, if none is under way.
    Probe,
    PausedUntil(Instant),
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { is_away: false, resume_at: Instant::now(), pause: Retry::new(PAUSE.0, PAUSE.1) }))
    }

    pub(crate) fn pace(&self) -> Pace {
        let state = self.state();
        match state.is_away {
            false => Pace::Full,
            true if Instant::now() < state.resume_at => Pace::PausedUntil(state.resume_at),
            true => Pace::Probe,
        }
    }

    /// The other side is away, or wants less of us. Whether that is news. Those that failed at once count as one.
    pub(crate) fn put_off(&self, retry_after: Option<Duration>) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        let is_news = !state.is_away;
        if is_news || state.resume_at <= now {
            state.is_away = true;
            state.resume_at = now + state.pause.next_delay();
        }
        state.resume_at = state.resume_at.max(now + retry_after.unwrap_or_default().min(PAUSE.1));
        is_news
    }

    /// It answers. Whether that is news.
    pub(crate) fn answered(&self) -> bool {
        let mut state = self.state();
        state.pause.reset();
        std::mem::take(&mut state.is_away)
    }

    /// What is under the lock is whole between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_side_that_is_away_is_probed_until_it_answers() {
        let standing = Standing::new();
        assert_eq!(standing.pace(), Pace::Full);
        assert!(standing.put_off(Some(Duration::from_secs(20))));
        assert!(!standing.put_off(None));
        let Pace::PausedUntil(resume_at) = standing.pace() else { panic!("it is away") };
        assert!(resume_at > Instant::now() + Duration::from_secs(10));
        assert!(standing.answered() && !standing.answered());
        assert_eq!(standing.pace(), Pace::Full);
    }
}
