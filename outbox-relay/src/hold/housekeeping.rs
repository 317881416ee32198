//! What a relay does beside publishing: it follows pauses, releases held events and purges old ones.
//!
//! Each is a loop of its own that can fail without stopping the relay.

use std::time::Duration;

use runtime::lifecycle::Lifecycle;
use runtime::mysql::Pool;
use tokio_util::sync::CancellationToken;

use super::metrics::HousekeepingMetrics;
use super::pause::{self, Pauses};
use super::release::Release;
use super::retention;
use crate::lease::Activity;
use crate::terms::Terms;

/// What the loops work with.
#[derive(Clone, Debug)]
pub struct Housekeeping {
    pub pool: Pool,
    pub pauses: Pauses,
    pub terms: Terms,
    pub metrics: HousekeepingMetrics,
    pub activity: Activity,
    /// How long published events are kept.
    pub retention: Duration,
    /// How long what a discarded event was is kept.
    pub discarded_retention: Duration,
}

impl Housekeeping {
    /// Starts the loops.
    pub fn spawn(self, lifecycle: &mut Lifecycle, shutdown: &CancellationToken) {
        let Self { pool, pauses, terms, metrics, activity, retention, discarded_retention } = self;
        lifecycle.spawn("pauses", pause::follow(pool.clone(), pauses.clone(), metrics.clone(), shutdown.clone()));
        let release = Release { pool: pool.clone(), pauses, terms, activity: activity.clone() };
        lifecycle.spawn("release", release.run(shutdown.clone()));
        lifecycle.spawn("discarded", retention::run_discarded(pool.clone(), discarded_retention, shutdown.clone()));
        lifecycle.spawn("retention", retention::run(pool, retention, activity, metrics, shutdown.clone()));
    }
}
