//! What parked events came to, until somebody counts it; and the call for who counts and applies what is due.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::outcome::Outcome;

/// What came of the parked events behind gates that were moved.
#[derive(Debug, Default)]
pub(super) struct Unparked {
    /// Those that had their effect, with the time when the broker stored them.
    pub(super) outcomes: Vec<(Outcome, DateTime<Utc>)>,
    /// Whether others are due now.
    pub(super) has_due: bool,
}

/// Outcomes of parked events since they were last taken.
#[derive(Debug, Default)]
pub struct Tally {
    outcomes: Mutex<Vec<(Outcome, DateTime<Utc>)>>,
    call: Notify,
}

impl Tally {
    /// The outcomes, each with the time when the broker stored the message; they are forgotten here.
    pub fn take(&self) -> Vec<(Outcome, DateTime<Utc>)> {
        std::mem::take(&mut *self.outcomes())
    }

    /// Waits until parked events had their effect or were made due. Such a call may be lost: the table has the latter.
    pub async fn until_called(&self) {
        self.call.notified().await;
    }

    pub(super) fn add(&self, unparked: Unparked) {
        let is_news = unparked.has_due || !unparked.outcomes.is_empty();
        self.outcomes().extend(unparked.outcomes);
        if is_news {
            self.call.notify_one();
        }
    }

    fn outcomes(&self) -> MutexGuard<'_, Vec<(Outcome, DateTime<Utc>)>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
