//! What is done on a timer: gauges of tables, and retention of the inbox.
//!
//! Guarantees that an inbox row outlives every replay: the relay may publish an event again as long as the outbox keeps it,
//! and the stream may deliver that message as long as it keeps it. Unless the inbox keeps its rows for longer than both
//! together, nothing is purged; the stream is asked each time, the outbox's retention is a setting. Purging is bounded
//! batches with pauses, by an index. Every replica does it; they don't disturb each other.

use std::sync::Arc;
use std::time::Duration;

use runtime::mysql::Pool;
use runtime::telemetry::chain;
use tokio_util::sync::CancellationToken;

use crate::consumer::Monitor;
use crate::metrics::Metrics;
use crate::source::Source;
use crate::store::{inbox, inbox_dead, inbox_parked};

const SAMPLE_PERIOD: Duration = Duration::from_secs(5);
const PURGE_PERIOD: Duration = Duration::from_secs(60);
const PURGE_ROWS_MAX: u32 = 1000;
const PURGE_PAUSE: Duration = Duration::from_millis(50);

/// The timers of this process.
#[derive(Debug)]
pub struct Housekeeping {
    /// The database of the effects.
    pub pool: Pool,
    /// Whose rows.
    pub source: Arc<Source>,
    /// Knows how long the stream keeps a message.
    pub monitor: Monitor,
    /// What is counted.
    pub metrics: Metrics,
    /// How long an inbox row is kept.
    pub inbox_retention: Duration,
    /// How long the relay may publish an event again.
    pub outbox_retention: Duration,
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
        self.metrics.parked.set(inbox_parked::count(&self.pool, &self.source).await?);
        self.metrics.dead.set(inbox_dead::count(&self.pool, &self.source).await?);
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
            let are_for_ever = stream.age_max.is_zero() || self.outbox_retention.is_zero();
            if are_for_ever || self.inbox_retention <= stream.age_max + self.outbox_retention {
                if !is_told {
                    let (stream, outbox, inbox) = (stream.age_max, self.outbox_retention, self.inbox_retention);
                    tracing::warn!(
                        ?stream,
                        ?outbox,
                        ?inbox,
                        "inbox is not purged: INBOX_RETENTION must be above the stream's max_age and OUTBOX_RETENTION \
                         together, both of which must be set"
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
            let rows = inbox::purge(&self.pool, &self.source, self.inbox_retention, PURGE_ROWS_MAX).await?;
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
