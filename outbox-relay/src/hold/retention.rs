//! Retention: published events are deleted some time after they were published, oldest first, and so is what discarded events were.
//!
//! Guarantees that only published rows go that are proven to be in the stream (see [`crate::heal`]), and that the drain
//! hardly notices: batches are small, and after each the loop rests four times as long as it took. Only the active relay purges;
//! two at once would do no harm.
//!
//! `seq` is not the order in which events are published: what was paused, dead or lost stands in front of what was published
//! before it. The verb reads all published events. The loop reads the oldest ones by `seq` as long as they are to be deleted, and
//! beyond them a few windows at a time, until it has been through all and begins again
//! (`events_that_stay_in_front_keep_no_older_one_from_being_purged`).

use std::time::{Duration, Instant};

use runtime::mysql::Pool;
use runtime::retention;
use runtime::telemetry::chain;
use schema::sequence::Seq;
use tokio_util::sync::CancellationToken;

use super::metrics::HousekeepingMetrics;
use crate::lease::Activity;
use crate::store::{discarded, outbox_purge};

/// Rows read, and at most deleted, at once.
const BATCH: u32 = 1_000;
/// How often the loop purges.
const INTERVAL: Duration = Duration::from_secs(10);
/// Windows with nothing to delete that the loop reads each time.
const YOUNG_MAX: u32 = 10;

/// What a window of published events had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Events that are to be deleted.
    Old,
    /// Only events that stay.
    Young,
    /// There are no more events.
    End,
}

/// A walk over the published events, oldest first.
#[derive(Debug)]
pub struct Walk {
    pub older_than: Duration,
    /// Count, but delete nothing.
    pub is_dry: bool,
    after: Seq,
    /// Events deleted, or counted, so far.
    pub purged: u64,
}

impl Walk {
    /// A walk from the oldest event on.
    pub fn new(older_than: Duration, is_dry: bool) -> Self {
        Self { older_than, is_dry, after: Seq::ZERO, purged: 0 }
    }

    /// Goes through one window.
    ///
    /// # Errors
    /// If the outbox can't be read or changed; the same step can be tried again.
    pub async fn step(&mut self, pool: &Pool) -> sqlx::Result<Step> {
        let window = outbox_purge::window(pool, self.after, BATCH, self.older_than).await?;
        let Some(last) = window.last else { return Ok(Step::End) };
        self.purged += match window.old {
            0 => 0,
            old if self.is_dry => old,
            _ => self.purge(pool, last).await?,
        };
        self.after = last;
        Ok(if window.old > 0 { Step::Old } else { Step::Young })
    }

    /// Steps until so many windows had nothing to delete, or the events end, or it must not go on; what the last one had.
    async fn purge_while(
        &mut self,
        pool: &Pool,
        mut young_max: u32,
        metrics: &HousekeepingMetrics,
        may_go_on: impl Fn() -> bool,
    ) -> sqlx::Result<Step> {
        let mut step = Step::Young;
        while young_max > 0 && may_go_on() {
            let (started, before) = (Instant::now(), self.purged);
            step = self.step(pool).await?;
            match step {
                Step::Old => metrics.purged(self.purged - before),
                Step::Young => young_max -= 1,
                Step::End => break,
            }
            tokio::time::sleep(rest_after(started.elapsed())).await;
        }
        Ok(step)
    }

    async fn purge(&self, pool: &Pool, last: Seq) -> sqlx::Result<u64> {
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
    pub fn position(&self) -> Seq {
        self.after
    }
}

/// Purges what discarded events were until shutdown, in every relay. A retention of zero keeps everything.
///
/// # Errors
/// Never, as [`run`].
pub async fn run_discarded(pool: Pool, age_min: Duration, shutdown: CancellationToken) -> anyhow::Result<()> {
    let step = |rows_max| discarded::purge(&pool, age_min, rows_max);
    if age_min.is_zero() {
        shutdown.cancelled().await;
    }
    retention::keep_up("discarded events", &shutdown, || retention::in_steps(&shutdown, step)).await;
    Ok(())
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
    let may_go_on = || activity.is_active() && !shutdown.is_cancelled();
    let mut beyond = Walk::new(retention, false);
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(timer.tick()).await.is_some() {
        if retention.is_zero() {
            continue;
        }
        let mut front = Walk::new(retention, false);
        let purged = match front.purge_while(&pool, 1, &metrics, may_go_on).await {
            Ok(Step::End) => Ok(Step::End),
            Ok(_) => {
                beyond.after = beyond.after.max(front.after);
                beyond.purge_while(&pool, YOUNG_MAX, &metrics, may_go_on).await
            }
            Err(error) => Err(error),
        };
        let events = front.purged + std::mem::take(&mut beyond.purged);
        if events > 0 {
            tracing::info!(events, "published events purged");
        }
        match purged {
            Ok(Step::End) => beyond.after = Seq::ZERO,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "can't purge published events, trying again"),
        }
    }
    Ok(())
}
