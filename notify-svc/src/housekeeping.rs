//! What is done on a timer: gauges of tables, forgetting who waits no longer, and retention of the inbox.
//!
//! Guarantees that an inbox row outlives every replay: nothing is purged unless the stream forgets a message sooner than
//! the inbox does, and the outbox, whose retention is a setting here too, can't publish an older one again. Purging is
//! bounded batches with pauses, by an index. Every replica does it; they don't disturb each other.

use std::time::Duration;

use runtime::telemetry::chain;
use sqlx::MySqlPool;
use tokio_util::sync::CancellationToken;

use crate::consumer::Monitor;
use crate::metrics::Metrics;
use crate::store::{inbox, inbox_dead, inbox_waiting};

const SAMPLE_PERIOD: Duration = Duration::from_secs(5);
const PURGE_PERIOD: Duration = Duration::from_secs(60);
const PURGE_ROWS_MAX: u32 = 1000;
const PURGE_PAUSE: Duration = Duration::from_millis(50);

/// The timers of this process.
#[derive(Debug)]
pub struct Housekeeping {
    /// The database `notifications`.
    pub pool: MySqlPool,
    /// Knows how long the stream keeps a message.
    pub monitor: Monitor,
    /// What is counted.
    pub metrics: Metrics,
    /// How long an inbox row is kept.
    pub inbox_retention: Duration,
    /// The stop of the process.
    pub shutdown: CancellationToken,
}

impl Housekeeping {
    /// Runs until the stop.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn run(self) -> anyhow::Result<()> {
        tokio::join!(self.sample(), self.retain());
        Ok(())
    }

    async fn sample(&self) {
        let mut period = tokio::time::interval(SAMPLE_PERIOD);
        while self.shutdown.run_until_cancelled(period.tick()).await.is_some() {
            if let Err(error) = self.sample_once().await {
                tracing::debug!(error = chain(&error), "sampling the tables failed");
            }
        }
    }

    async fn sample_once(&self) -> sqlx::Result<()> {
        inbox_waiting::sweep(&self.pool).await?;
        self.metrics.waiting.set(inbox_waiting::count(&self.pool).await?);
        self.metrics.dead.set(inbox_dead::count(&self.pool).await?);
        Ok(())
    }

    async fn retain(&self) {
        let mut period = tokio::time::interval(PURGE_PERIOD);
        let mut is_told = false;
        while self.shutdown.run_until_cancelled(period.tick()).await.is_some() {
            let Some(stream) = self.monitor.status().await.stream else {
                // The broker is away, or not connected to yet.
                period.reset_after(SAMPLE_PERIOD);
                continue;
            };
            if stream.age_max.is_zero() || stream.age_max >= self.inbox_retention {
                if !is_told {
                    let (stream, inbox) = (stream.age_max, self.inbox_retention);
                    tracing::warn!(
                        ?stream,
                        ?inbox,
                        "inbox is not purged: the stream's max_age must be set, and below INBOX_RETENTION"
                    );
                    is_told = true;
                }
                continue;
            }
            is_told = false;
            if let Err(error) = self.purge().await {
                tracing::warn!(error = chain(&error), "purging the inbox failed, trying again later");
            }
        }
    }

    async fn purge(&self) -> sqlx::Result<()> {
        let mut purged = 0;
        while !self.shutdown.is_cancelled() {
            let rows = inbox::purge(&self.pool, self.inbox_retention, PURGE_ROWS_MAX).await?;
            purged += rows;
            if rows < u64::from(PURGE_ROWS_MAX) {
                break;
            }
            tokio::time::sleep(PURGE_PAUSE).await;
        }
        if purged > 0 {
            tracing::info!(purged, "inbox rows purged");
        }
        Ok(())
    }
}
