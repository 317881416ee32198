//! What is done on a timer: gauges of tables, and retention of the inbox.
//!
//! Guarantees that an inbox row outlives every replay: the relay may publish an event again as long as the outbox keeps it,
//! and the stream may deliver that message as long as it keeps it. Unless the inbox keeps its rows for longer than both
//! together, nothing is purged; the stream is asked each time, the outbox's retention is a setting. The same holds for dead
//! messages that a person has decided about: a redelivery that found no row would be dead again.

use std::sync::Arc;
use std::time::Duration;

use runtime::mysql::Pool;
use runtime::retention;
use runtime::telemetry::chain;
use tokio_util::sync::CancellationToken;

use crate::consumer::Monitor;
use crate::metrics::Metrics;
use crate::source::Source;
use crate::store::{inbox, inbox_dead, inbox_parked};

const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

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
        let mut period = tokio::time::interval(retention::PERIOD);
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
            match self.purge().await {
                Ok([0, 0]) => {}
                Ok([purged, dead]) => tracing::info!(purged, dead, "inbox rows purged"),
                Err(error) => tracing::warn!(error = chain(&error), "purging the inbox failed, trying again later"),
            }
        }
    }

    /// How many events went, and how many dead messages.
    async fn purge(&self) -> sqlx::Result<[u64; 2]> {
        let (pool, source, age_min) = (&self.pool, &self.source, self.inbox_retention);
        let events = |rows_max| inbox::purge(pool, source, age_min, rows_max);
        let dead = |rows_max| inbox_dead::purge(pool, source, age_min, rows_max);
        Ok([retention::in_steps(&self.shutdown, events).await?, retention::in_steps(&self.shutdown, dead).await?])
    }
}
