//! The relay loop: claim, publish, settle, one batch after the other, while this relay is the active one.
//!
//! Relies on the lease for being alone and on the publisher for the order. The loop reads the table whether woken or
//! polling, so a lost hint costs a poll interval and nothing else. Shutdown is heeded between batches, never between
//! publish and settle.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use runtime::mysql::is_transient;
use runtime::retry::Retry;
use runtime::telemetry::chain;
use sqlx::MySqlPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::claim::{Claimed, Rules};
use crate::lease::{Lease, Tenure};
use crate::metrics::Metrics;
use crate::publisher::{Outage, Publisher};
use crate::settler::{SettleError, Settler};
use crate::store::outbox::{self, PendingRow};
use crate::stream::StreamMaker;

/// Everything that the loop works with.
#[derive(Debug)]
pub struct Relay {
    pub pool: MySqlPool,
    pub lease: Lease,
    pub stream: StreamMaker,
    pub publisher: Publisher,
    pub settler: Settler,
    pub rules: Rules,
    pub wake: Arc<Notify>,
    pub poll_interval: Duration,
    pub batch_size_max: u32,
    pub metrics: Metrics,
}

/// What a look at the table led to.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There may be more: look again at once.
    More,
    /// Nothing more to do before a hint, a poll or a next attempt.
    Idle,
}

/// Why the loop has to pause, or to end.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Outage(#[from] Outage),
    #[error("reading the outbox")]
    Claim(#[source] sqlx::Error),
    #[error(transparent)]
    Settle(#[from] SettleError),
}

impl Relay {
    /// Runs until shutdown.
    ///
    /// # Errors
    /// A database fault that waiting can't mend, such as a missing table or right.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while let Ok(tenure) = self.lease.acquire(&shutdown).await {
            tracing::info!(epoch = tenure.epoch, "lease acquired, this relay is active");
            self.metrics.lease_acquired();
            let drain = async {
                let result = self.drain(&tenure, &shutdown).await;
                tenure.over.cancel();
                result
            };
            let (result, ()) = tokio::join!(drain, self.lease.keep(&tenure));
            self.lease.release(&tenure).await;
            self.metrics.lease_ended(!shutdown.is_cancelled());
            result?;
        }
        Ok(())
    }

    async fn drain(&self, tenure: &Tenure, shutdown: &CancellationToken) -> Result<(), TurnError> {
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(5));
        // After an outage one event probes; the whole batch follows when the broker took it.
        let mut limit = self.batch_size_max;
        let mut stream_is_there = false;
        let mut any_dead = true;
        while tenure.is_valid() && !shutdown.is_cancelled() {
            match self.turn(tenure, limit, &mut stream_is_there, &mut any_dead).await {
                Ok(turn) => {
                    if limit < self.batch_size_max {
                        tracing::info!("publishing again");
                    }
                    self.metrics.outage_ended();
                    limit = self.batch_size_max;
                    retry.reset();
                    if turn == Turn::Idle {
                        self.idle(tenure, shutdown).await;
                    }
                }
                Err(error) if error.passes() => {
                    tracing::warn!(error = chain(&error), "paused, trying again");
                    self.metrics.outage(error.class());
                    limit = 1;
                    stream_is_there = false;
                    if retry.wait(shutdown).await.is_err() {
                        break;
                    }
                }
                Err(TurnError::Settle(SettleError::LeaseLost)) => {
                    tracing::error!(epoch = tenure.epoch, "another relay took over, nothing was settled");
                    self.metrics.stale_settle();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Claims, publishes and settles one batch.
    async fn turn(
        &self,
        tenure: &Tenure,
        limit: u32,
        stream_is_there: &mut bool,
        any_dead: &mut bool,
    ) -> Result<Turn, TurnError> {
        if !*stream_is_there {
            self.stream.ensure().await.map_err(|error| Outage(chain(&error)))?;
            *stream_is_there = true;
        }
        let rows = outbox::claim(&self.pool, limit).await.map_err(TurnError::Claim)?;
        let is_full = u32::try_from(rows.len()).is_ok_and(|rows| rows == limit);
        let behind_dead = self.behind_dead(&rows, any_dead).await.map_err(TurnError::Claim)?;
        let claimed = Claimed::sort(rows, &behind_dead, &self.rules);
        if claimed.is_empty() {
            return Ok(Turn::Idle);
        }
        self.metrics.claimed(claimed.due.len());
        let report = self.publisher.publish(claimed.due, tenure).await;
        let outage = report.outage.clone();
        let settled = self.settler.settle(tenure, report, &claimed.faulty, &claimed.held).await?;
        *any_dead |= settled.any_dead;
        match outage {
            Some(outage) => Err(outage.into()),
            None if is_full && settled.rows > 0 => Ok(Turn::More),
            None => Ok(Turn::Idle),
        }
    }

    /// Only the active relay makes events dead, so once there are none the question need not be asked again before
    /// this tenure made one.
    async fn behind_dead(&self, rows: &[PendingRow], any_dead: &mut bool) -> sqlx::Result<HashSet<u64>> {
        if !*any_dead || rows.is_empty() {
            return Ok(HashSet::new());
        }
        *any_dead = outbox::any_dead(&self.pool).await?;
        if !*any_dead {
            return Ok(HashSet::new());
        }
        let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        Ok(outbox::behind_dead(&self.pool, &seqs).await?.into_iter().collect())
    }

    /// A hint that came since the last wait ends this one at once.
    async fn idle(&self, tenure: &Tenure, shutdown: &CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tenure.over.cancelled() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(self.poll_interval) => {}
        }
    }
}

impl TurnError {
    /// Whether waiting can mend it.
    fn passes(&self) -> bool {
        match self {
            Self::Outage(_) => true,
            Self::Claim(error) | Self::Settle(SettleError::Database(error)) => is_transient(error),
            Self::Settle(SettleError::LeaseLost) => false,
        }
    }

    /// The label in metrics.
    fn class(&self) -> &'static str {
        match self {
            Self::Outage(_) => "broker",
            Self::Claim(_) | Self::Settle(_) => "database",
        }
    }
}
