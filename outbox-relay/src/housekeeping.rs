//! What a relay does beside publishing: it follows pauses, releases held events and purges old ones.
//!
//! Each is a loop of its own that can fail without stopping the relay.

use std::time::Duration;

use prometheus::{IntCounter, IntGauge, Registry};
use runtime::lifecycle::Lifecycle;
use runtime::mysql::Pool;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::pause::{self, Pauses};
use crate::release::Release;
use crate::retention;
use crate::terms::Terms;

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

/// What the loops work with.
#[derive(Clone, Debug)]
pub struct Housekeeping {
    pub pool: Pool,
    pub pauses: Pauses,
    pub terms: Terms,
    pub metrics: HousekeepingMetrics,
    /// Tells whether this relay is the active one.
    pub relay: Metrics,
    /// How long published events are kept.
    pub retention: Duration,
}

impl Housekeeping {
    /// Starts the loops.
    pub fn spawn(self, lifecycle: &mut Lifecycle, shutdown: &CancellationToken) {
        let Self { pool, pauses, terms, metrics, relay, retention } = self;
        lifecycle.spawn("pauses", pause::follow(pool.clone(), pauses.clone(), metrics.clone(), shutdown.clone()));
        let release = Release { pool: pool.clone(), pauses, terms, metrics: relay.clone() };
        lifecycle.spawn("release", release.run(shutdown.clone()));
        lifecycle.spawn("retention", retention::run(pool, retention, relay, metrics, shutdown.clone()));
    }
}
