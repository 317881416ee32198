//! The metrics of pauses, retention and release.

use prometheus::{
    IntCounter, IntGauge, Registry, register_int_counter_with_registry as counter,
    register_int_gauge_with_registry as int_gauge,
};

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
        Ok(Self {
            paused_patterns: int_gauge!(
                "relay_paused_patterns",
                "Subject patterns that an operator paused.",
                registry
            )?,
            purged: counter!("relay_purged_events_total", "Published events deleted after their retention.", registry)?,
        })
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
