//! Retention: published events are deleted some time after they were published, oldest first.
//!
//! Guarantees that only published rows go that are proven to be in the stream (see [`crate::heal`]), and that the drain
//! hardly notices: batches are small, and after each the loop rests four times as long as it took. A walk ends at the first
//! window in which nothing is old, so a walk with nothing to do costs one look. Only the active relay purges; two at once would do no harm.

use std::time::{Duration, Instant};

use runtime::mysql::Pool;
use runtime::telemetry::chain;
use tokio_util::sync::CancellationToken;

use super::metrics::HousekeepingMetrics;
use crate::lease::Activity;
use crate::store::outbox_purge;

/// Rows looked at, and at most deleted, at once.
const BATCH: u32 = 1_000;
/// How often to look.
const INTERVAL: Duration = Duration::from_secs(10);

/// A walk over the published events, oldest first.
#[derive(Debug)]
pub struct Walk {
    pub older_than: Duration,
    /// Count, but delete nothing.
    pub is_dry: bool,
    after: u64,
    /// Events deleted, or counted, so far.
    pub purged: u64,
}

impl Walk {
    /// A walk from the oldest event on.
    pub fn new(older_than: Duration, is_dry: bool) -> Self {
        Self { older_than, is_dry, after: 0, purged: 0 }
    }

    /// Goes through one window; whether there is another.
    ///
    /// # Errors
    /// If the outbox can't be read or changed; the same step can be tried again.
    pub async fn step(&mut self, pool: &Pool) -> sqlx::Result<bool> {
        let window = outbox_purge::window(pool, self.after, BATCH, self.older_than).await?;
        let Some(last) = window.last.filter(|_| window.old > 0) else { return Ok(false) };
        self.purged += match self.is_dry {
            true => window.old,
            false => self.purge(pool, last).await?,
        };
        self.after = last;
        Ok(true)
    }

    async fn purge(&self, pool: &Pool, last: u64) -> sqlx::Result<u64> {
        let mut tx = pool.begin().await?;
        outbox_purge::lock(&mut tx, self.after, last, self.older_than).await?;
        let deleted = match outbox_purge::proven(&mut tx).await? {
            Some(proven) => outbox_purge::delete(&mut tx, (self.after, last), self.older_than, proven).await?,
            None => 0,
        };
        tx.commit().await?;
        Ok(deleted)
    }

    /// How far it came: the key it stands at.
    pub fn position(&self) -> u64 {
        self.after
    }
}

/// How long to rest after a step that took so long.
pub fn rest_after(step: Duration) -> Duration {
    (step * 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

/// Purges until shutdown, in the active relay only. A retention of zero keeps everything.
///
/// # Errors
/// Never; a failed step is logged, and the next walk goes on.
pub async fn run(
    pool: Pool,
    retention: Duration,
    activity: Activity,
    metrics: HousekeepingMetrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(timer.tick()).await.is_some() {
        if retention.is_zero() {
            continue;
        }
        let mut walk = Walk::new(retention, false);
        while activity.is_active() && !shutdown.is_cancelled() {
            let (started, before) = (Instant::now(), walk.purged);
            match walk.step(&pool).await {
                Ok(true) => metrics.purged(walk.purged - before),
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "can't purge published events, trying again");
                    break;
                }
            }
            tokio::time::sleep(rest_after(started.elapsed())).await;
        }
        if walk.purged > 0 {
            tracing::info!(events = walk.purged, "published events purged");
        }
    }
    Ok(())
}
