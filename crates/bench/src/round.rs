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
        self.percentile_ms(50)
    }

    /// The latency that so many percent do not exceed.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_counts_every_clients_orders() {
        let of = |milliseconds: &[u64]| milliseconds.iter().copied().map(Duration::from_millis).collect();
        let round = Round::new(vec![of(&[5, 1]), of(&[3]), of(&[2, 4])], Duration::from_secs(2));
        assert_eq!((round.rate(), round.p50_ms(), round.percentile_ms(100)), (2.5, 3.0, 5.0));
    }
}
