//! One round of a measurement by clients that take one turn after the other.

use std::time::Duration;

/// What one round took.
pub(crate) struct Round {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Round {
    /// Of the latencies of each client.
    pub(crate) fn new(latencies: Vec<Vec<Duration>>, elapsed: Duration) -> Round {
        let mut latencies = latencies.concat();
        latencies.sort_unstable();
        Round { latencies, elapsed }
    }

    #[expect(clippy::cast_precision_loss, reason = "a round has thousands of orders")]
    /// Orders a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The median latency.
    pub(crate) fn p50_ms(&self) -> f64 {
        self.latencies.get(self.latencies.len() / 2).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}
