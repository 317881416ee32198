//! A queue at work: claims what is due, has it performed, settles it.
//!
//! Each effect under way is a task of its own. Effects that were tried before have a few of the places only, and those that hang
//! leave room for others. A lease lasts longer than an attempt may, so two processes perform one effect at once only if one was
//! frozen: the idempotency key is for that. A crash leaves an effect to its lease's end, as one that may have happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::retry::Retry;
use runtime::telemetry::chain;
use runtime::time;
use schema::ids::EffectId;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use crate::attempt::{DELAY_MAX, UnderWay};
use crate::config::lease;
use crate::effect::{Effect, Perform};
use crate::pace::{Pace, Standing};
use crate::queue::Queue;
use crate::store::count;
use crate::store::queue::{self, Claim};

/// Effects under way at once.
const UNDER_WAY_MAX: usize = 8;
/// More of them while as many hang.
const SLOW_MAX: usize = 8;
/// An effect that is under way for so long hangs.
const SLOW: Duration = Duration::from_secs(5);
/// Of them, effects that were tried before.
const RETRIES_MAX: usize = 4;
const POLL: Duration = Duration::from_secs(1);
/// Between searches for effects that a stepped clock left far in the future.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

/// Those under way, since when, and whether they were tried before.
#[derive(Default)]
struct Tasks {
    set: JoinSet<EffectId>,
    begun: HashMap<EffectId, (Instant, bool)>,
}

impl<P: Perform> Queue<P> {
    /// Performs until the stop; what is under way then is finished, or given up after some seconds.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn run(self) -> anyhow::Result<()> {
        tokio::join!(self.perform_all(), self.sample());
        Ok(())
    }

    async fn perform_all(&self) {
        let standing = Arc::new(Standing::new());
        let mut tasks = Tasks::default();
        let mut retry = Retry::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut clock_checked_at: Option<Instant> = None;
        while !self.shutdown.is_cancelled() {
            let round = async {
                if clock_checked_at.is_none_or(|at| at.elapsed() > CLOCK_CHECK) {
                    let lease = lease(self.attempt_time_max);
                    queue::bring_back(&self.pool, self.name, lease, lease.max(DELAY_MAX)).await?;
                    clock_checked_at = Some(Instant::now());
                }
                self.round(&standing, &mut tasks).await
            };
            match round.await {
                Ok(()) => {
                    retry.reset();
                    self.wait(&standing, &mut tasks).await;
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), queue = self.name, "effects can't be read, trying again");
                    // Stopped means that the loop's condition ends it.
                    retry.wait(&self.shutdown).await.ok();
                }
            }
        }
        while let Some(ended) = tasks.set.join_next().await {
            tasks.ended(ended);
        }
    }

    /// Waits until there may be something to begin.
    async fn wait(&self, standing: &Standing, tasks: &mut Tasks) {
        let longest = match standing.pace() {
            Pace::PausedUntil(resume_at) => resume_at.saturating_duration_since(Instant::now()).min(POLL),
            Pace::Full | Pace::Probe => POLL,
        };
        tokio::select! {
            () = self.wake.0.notified() => {}
            Some(ended) = tasks.set.join_next() => tasks.ended(ended),
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(longest) => {}
        }
    }

    /// Begins what may begin now.
    async fn round(&self, standing: &Arc<Standing>, tasks: &mut Tasks) -> sqlx::Result<()> {
        let slow = tasks.begun.values().filter(|(since, _)| since.elapsed() > SLOW).count();
        let free = (UNDER_WAY_MAX + slow.min(SLOW_MAX)).saturating_sub(tasks.begun.len());
        let free = match standing.pace() {
            Pace::Full => free,
            Pace::Probe if tasks.begun.is_empty() => 1,
            Pace::Probe | Pace::PausedUntil(_) => 0,
        };
        if free == 0 {
            return Ok(());
        }
        let claim = Claim::new();
        let effects = self.pool.in_time(self.claim(&claim, free, tasks)).await?;
        for (effect, is_retry) in effects {
            tasks.begun.insert(effect.id, (Instant::now(), is_retry));
            let span = tracing::info_span!("effect.perform", effect.id = %effect.id, effect.kind = effect.kind, effect.subject = effect.subject);
            let id = effect.id;
            let under_way =
                UnderWay { queue: self.clone(), standing: Arc::clone(standing), effect, claim: claim.clone() };
            let performed = async move {
                under_way.run().await;
                id
            };
            tasks.set.spawn(performed.instrument(span));
        }
        Ok(())
    }

    /// Takes the leases of what is due, in one transaction.
    async fn claim(&self, claim: &Claim, free: usize, tasks: &Tasks) -> sqlx::Result<Vec<(Effect, bool)>> {
        let retries = tasks.begun.values().filter(|(_, is_retry)| *is_retry).count();
        let lease = lease(self.attempt_time_max);
        let mut claimed = Vec::new();
        let mut tx = self.pool.begin().await?;
        // Those that were tried have their few places first, for there may be no end of the others.
        for (is_retry, most) in [(true, RETRIES_MAX.saturating_sub(retries)), (false, free)] {
            let most = most.min(free - claimed.len());
            let due = if most > 0 { queue::due(&mut tx, self.name, is_retry, most).await? } else { Vec::new() };
            for effect in due {
                if tasks.begun.contains_key(&effect.id) {
                    queue::prolong(&mut tx, effect.id, lease).await?;
                } else {
                    queue::lease(&mut tx, effect.id, claim, lease).await?;
                    claimed.push((effect, is_retry));
                }
            }
        }
        tx.commit().await?;
        Ok(claimed)
    }

    async fn sample(&self) {
        let mut period = tokio::time::interval(SAMPLE_PERIOD);
        while self.shutdown.run_until_cancelled(period.tick()).await.is_some() {
            match count::sample(&self.pool, self.name).await {
                Ok(sample) => {
                    self.metrics.pending.set(sample.pending);
                    self.metrics.dead.set(sample.dead);
                    self.metrics.oldest_age.set(sample.oldest_age.as_secs_f64());
                    self.metrics.sampled_at.set(time::unix_seconds());
                }
                Err(error) => tracing::debug!(error = chain(&error), "counting the effects failed"),
            }
        }
    }
}

impl Tasks {
    /// Takes leave of one.
    ///
    /// # Panics
    /// If it panicked.
    fn ended(&mut self, ended: Result<EffectId, JoinError>) {
        let id = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.begun.remove(&id);
    }
}
