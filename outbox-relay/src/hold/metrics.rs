//! The metrics of pauses, retention and release.

use prometheus::{IntCounter, IntGauge, Registry};

/// Handles of the metrics of these loops.
#[derive(Clone, Debug)]
pub struct HousekeepingMetrics {
    paused_patterns: IntGauge,
    purged: IntCounter,
}

impl HousekeepingMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            paused_patterns: IntGauge::new("relay_paused_patterns", "Subject patterns that an operator paused.")?,
            purged: IntCounter::new("relay_purged_events_total", "Published events deleted after their retention.")?,
        };
        registry.register(Box::new(metrics.paused_patterns.clone()))?;
        registry.register(Box::new(metrics.purged.clone()))?;
        Ok(metrics)
    }

    /// So many patterns are paused now.
    pub fn paused_patterns(&self, patterns: usize) {
        self.paused_patterns.set(i64::try_from(patterns).unwrap_or(i64::MAX));
    }

    /// Published events were deleted.
    pub fn purged(&self, events: u64) {
        self.purged.inc_by(events);
    }
}
