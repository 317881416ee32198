//! Counts the payments that wait for a person, by an indexed and bounded query, on a timer.
//!
//! Each process does. The time of the sample stands beside the gauge, so that one whose database is away can be told from one
//! that has nothing to say.

use std::time::Duration;

use prometheus::{
    Gauge, IntGauge, Registry, register_gauge_with_registry as gauge, register_int_gauge_with_registry as int_gauge,
};
use runtime::mysql::Pool;
use runtime::telemetry::chain;
use runtime::time;
use tokio_util::sync::CancellationToken;

use crate::store::stuck;

/// How old the gauge may be.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts them.
#[derive(Debug)]
pub struct Sampler {
    pool: Pool,
    stuck: IntGauge,
    sampled_at: Gauge,
}

impl Sampler {
    /// Registers the gauges.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry, pool: Pool) -> prometheus::Result<Self> {
        let help = "Payments at no end that nothing is tried for: a person decides; 10000: that many or more.";
        Ok(Self {
            pool,
            stuck: int_gauge!("payments_stuck", help, registry)?,
            sampled_at: gauge!(
                "payments_sampled_timestamp_seconds",
                "When payments_stuck was last read from the table, since 1970; 0 before that.",
                registry
            )?,
        })
    }

    /// Samples until asked to stop.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut period = tokio::time::interval(INTERVAL);
        while shutdown.run_until_cancelled(period.tick()).await.is_some() {
            match stuck::count(&self.pool).await {
                Ok(stuck) => {
                    self.stuck.set(stuck);
                    self.sampled_at.set(time::unix_seconds());
                }
                Err(error) => tracing::debug!(error = chain(&error), "counting the payments failed"),
            }
        }
        Ok(())
    }
}
