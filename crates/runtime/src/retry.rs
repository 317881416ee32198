//! Exponential backoff with full jitter. The only file that knows the `backoff` crate.
//!
//! Full jitter means a uniform delay between zero and a ceiling that doubles: replicas that failed together do not
//! come back together. There is no last attempt: whoever retries decides when to stop.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use tokio_util::sync::CancellationToken;

/// The delays between attempts of one operation.
#[derive(Debug)]
pub struct Retry {
    schedule: ExponentialBackoff,
}

/// The process is stopping; don't try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped while waiting to try again")]
pub struct Stopped;

impl Retry {
    /// The first delay is up to `first`, the ceiling doubles with each attempt up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        // backoff draws from interval ± factor · interval: with factor 1 and half the interval that is [0, interval].
        let mut schedule = ExponentialBackoff {
            initial_interval: first / 2,
            max_interval: longest / 2,
            multiplier: 2.0,
            randomization_factor: 1.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        schedule.reset();
        Self { schedule }
    }

    /// The delay before the attempt after `attempts` failed ones, for schedules kept in a database row.
    pub fn delay_after(first: Duration, longest: Duration, attempts: u32) -> Duration {
        let ceiling =
            first.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(longest);
        Self::new(ceiling, ceiling).next_delay()
    }

    /// The next delay; the one after may be twice as long.
    pub fn next_delay(&mut self) -> Duration {
        self.schedule.next_backoff().unwrap_or(self.schedule.max_interval)
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.schedule.reset();
    }

    /// Waits for the next delay.
    ///
    /// # Errors
    /// [`Stopped`] at once when `shutdown` is cancelled.
    pub async fn wait(&mut self, shutdown: &CancellationToken) -> Result<(), Stopped> {
        tokio::select! {
            () = shutdown.cancelled() => Err(Stopped),
            () = tokio::time::sleep(self.next_delay()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn delays_stay_under_a_ceiling_that_doubles() {
        for _ in 0..200 {
            let mut retry = Retry::new(FIRST, LONGEST);
            for attempt in 0..12 {
                let ceiling = (FIRST * 2_u32.pow(attempt)).min(LONGEST);
                assert!(retry.next_delay() <= ceiling);
            }
        }
    }

    #[test]
    fn a_delay_kept_in_a_row_follows_the_same_schedule() {
        for attempts in 1..200 {
            let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(attempts - 1)).min(LONGEST);
            assert!(Retry::delay_after(FIRST, LONGEST, attempts) <= ceiling, "{attempts}");
        }
    }

    #[test]
    fn jitter_spreads_over_the_whole_range() {
        let delays: Vec<_> = (0..500).map(|_| Retry::new(FIRST, LONGEST).next_delay()).collect();
        assert!(delays.iter().any(|delay| *delay < FIRST / 4));
        assert!(delays.iter().any(|delay| *delay > FIRST * 3 / 4));
    }

    #[tokio::test]
    async fn waiting_ends_at_once_when_the_process_stops() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        assert_eq!(Retry::new(LONGEST, LONGEST).wait(&shutdown).await, Err(Stopped));
    }
}
