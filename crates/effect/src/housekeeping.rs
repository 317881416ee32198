//! What a queue does on a timer: samples of its table for the gauges, and retention.
//!
//! What ended, and is older than that, is purged in bounded steps with pauses, by an index; an effect that is pending or dead
//! never is. Every replica does it; they don't disturb each other. What people decided stays.

use std::time::Duration;

use runtime::telemetry::chain;

use crate::queue::Queue;
use crate::store::{count, purge};

const SAMPLE_PERIOD: Duration = Duration::from_secs(5);
const PURGE_PERIOD: Duration = Duration::from_secs(60);
const PURGE_ROWS_MAX: u32 = 1000;
const PURGE_PAUSE: Duration = Duration::from_millis(50);

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
        let mut period = tokio::time::interval(PURGE_PERIOD);
        while self.shutdown.run_until_cancelled(period.tick()).await.is_some() {
            if let Err(error) = self.purge().await {
                tracing::warn!(error = chain(&error), "purging the effects failed, trying again later");
            }
        }
    }

    async fn purge(&self) -> sqlx::Result<()> {
        let mut purged = 0;
        for state in purge::ENDED {
            while !self.shutdown.is_cancelled() {
                let age_min = self.limits.retention;
                let rows = purge::purge(&self.pool, self.name, state, age_min, PURGE_ROWS_MAX).await?;
                purged += rows;
                if rows < u64::from(PURGE_ROWS_MAX) {
                    break;
                }
                tokio::time::sleep(PURGE_PAUSE).await;
            }
        }
        if purged > 0 {
            tracing::info!(purged, queue = self.name, "effects purged");
        }
        Ok(())
    }
}
