//! Decides what is written back for each outcome. Pure: the statements are in `store/outbox_settle.rs`.

use std::time::Duration;

use runtime::retry::Retry;
use schema::sequence::StreamSeq;

use crate::publish::Outcome;

/// The delay after the first failed attempt is up to this; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// No delay is longer.
const LONGEST_DELAY: Duration = Duration::from_secs(5 * 60);

/// What to write back for one event.
#[derive(Debug, PartialEq, Eq)]
pub enum Settlement {
    Published { stream_seq: StreamSeq },
    Retry { delay: Duration, reason: String },
    Forgotten,
    Dead { reason: String },
}

/// Decides, for an event that had failed `attempts` times before.
pub fn settle(outcome: Outcome, attempts: u32, attempts_max: u32) -> Settlement {
    match outcome {
        Outcome::Published { stream_seq } => Settlement::Published { stream_seq },
        Outcome::Forgotten => Settlement::Forgotten,
        // Decided on before: see `crate::limits`.
        Outcome::Refused { reason } | Outcome::OverLimit { reason } => Settlement::Dead { reason },
        Outcome::Failed { reason } if attempts + 1 >= attempts_max => {
            Settlement::Dead { reason: format!("gave up after {attempts_max} attempts: {reason}") }
        }
        Outcome::Failed { reason } => {
            Settlement::Retry { delay: Retry::delay_after(FIRST_DELAY, LONGEST_DELAY, attempts + 1), reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed { reason: "refused".to_owned() }
    }

    #[test]
    fn an_event_is_dead_with_its_last_allowed_attempt() {
        assert!(matches!(settle(failed(), 8, 10), Settlement::Retry { .. }));
        assert!(matches!(settle(failed(), 9, 10), Settlement::Dead { .. }));
        assert!(matches!(settle(failed(), 0, 1), Settlement::Dead { .. }));
    }

    #[test]
    fn what_no_broker_would_take_is_dead_at_once() {
        let refused = Outcome::Refused { reason: "too large".to_owned() };
        assert_eq!(settle(refused, 0, 10), Settlement::Dead { reason: "too large".to_owned() });
    }
}
