//! What a queue does on a timer: samples of its table for the gauges, and retention.
//!
//! What ended, and is older than that, is purged by an index; an effect that is pending or dead
//! never is. Every replica does it; they don't disturb each other. What people decided stays.

use std::time::Duration;

use runtime::retention;
use runtime::telemetry::chain;

use crate::queue::Queue;
use crate::store::{count, purge};

const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

impl<P> Queue<P> {
    pub(crate) async fn sample(&self) {
        let mut period = tokio::time::interval(SAMPLE_PERIOD);
        while self.shutdown.run_until_cancelled(period.tick()).await.is_some() {
            match count::sample(&self.pool, self.name).await {
                Ok(sample) => self.metrics.sampled(&sample),
                Err(error) => tracing::debug!(error = chain(&error), "counting the effects failed"),
            }
        }
    }

    pub(crate) async fn retain(&self) {
        if self.limits.retention.is_zero() {
            return;
        }
        retention::keep_up(self.name, &self.shutdown, || self.purge()).await;
    }

    async fn purge(&self) -> sqlx::Result<u64> {
        let mut purged = 0;
        for state in purge::ENDED {
            let step = |rows_max| purge::purge(&self.pool, self.name, state, self.limits.retention, rows_max);
            purged += retention::in_steps(&self.shutdown, step).await?;
        }
        Ok(purged)
    }
}
