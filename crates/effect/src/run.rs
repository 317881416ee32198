//! A queue at work: claims what is due, has it performed, settles it.
//!
//! Each effect under way is a task of its own that keeps its lease for as long as its attempt takes, and those that hang leave
//! room for others. Two processes perform one effect at once only if one lost its lease: [`crate::Hold::let_go`] and the
//! idempotency key are for that. A crash leaves an effect to its lease's end, as one that may have happened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::mysql::Transaction;
use runtime::retry::Retry;
use runtime::telemetry::{chain, trace};
use tracing::Instrument;

use crate::attempt::{DELAY_MAX, UnderWay};
use crate::effect::Effect;
use crate::hold::{Hold, LEASE};
use crate::perform::Perform;
use crate::queue::{Queue, Shared};
use crate::rate::Rate;
use crate::standing::{Pace, Standing};
use crate::store::claim::{Claim, Held};
use crate::store::queue::{self, Due};
use crate::tasks::{SLOW, Tasks};
use crate::traced;

const POLL: Duration = Duration::from_secs(1);
/// Effects that come, or end, this close together are claimed together: a claim is a commit, and takes the disk from others.
const GATHER: Duration = Duration::from_millis(50);
/// Between searches for effects that a stepped clock left far in the future.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
/// Effects that one claim puts aside for their party.
const PASSED_OVER_MAX: usize = 100;

/// A claim in the making.
struct Claiming<'a> {
    claim: &'a Claim,
    tasks: &'a Tasks,
    claimed: Claimed,
}

/// What a claim found.
#[derive(Default)]
struct Claimed {
    effects: Vec<Effect>,
    /// Effects put off because their party is passed over, or because their lease has just ended.
    passed_over: usize,
}

impl<P: Perform> Queue<P> {
    /// Performs until the stop; what is under way then is finished, or given up after some seconds.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn run(self) -> anyhow::Result<()> {
        let rate = Rate::new(self.limits.rate_max);
        let shared = Arc::new(Shared { queue: self, standing: Arc::new(Standing::new()), rate });
        tokio::join!(shared.perform_all(), shared.queue.sample(), shared.queue.retain());
        Ok(())
    }
}

impl<P: Perform> Shared<P> {
    async fn perform_all(self: &Arc<Self>) {
        let shutdown = &self.queue.shutdown;
        let mut tasks = Tasks::default();
        let mut retry = Retry::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut clock_checked_at: Option<Instant> = None;
        while !shutdown.is_cancelled() {
            let round = async {
                if clock_checked_at.is_none_or(|at| at.elapsed() > CLOCK_CHECK) {
                    queue::bring_back(&self.queue.pool, self.queue.name, LEASE, DELAY_MAX).await?;
                    clock_checked_at = Some(Instant::now());
                }
                self.round(&mut tasks).await
            };
            match round.await {
                // Others may be due behind those that were put off.
                Ok(claimed) if claimed.passed_over > 0 => {}
                Ok(_) => {
                    retry.reset();
                    self.wait(&mut tasks).await;
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        queue = self.queue.name,
                        "effects can't be read, trying again"
                    );
                    // Stopped means that the loop's condition ends it.
                    retry.wait(shutdown).await.ok();
                }
            }
        }
        tasks.all_ended().await;
    }

    /// Waits until there may be something to begin.
    async fn wait(&self, tasks: &mut Tasks) {
        let longest = match self.standing.pace() {
            Pace::PausedUntil(resume_at) => resume_at.saturating_duration_since(Instant::now()).min(POLL),
            Pace::Full | Pace::Probe => POLL,
        };
        let is_full = tasks.are_many();
        tokio::select! {
            () = self.queue.wake.0.notified(), if !is_full => tokio::time::sleep(GATHER).await,
            Some(()) = tasks.one_ended() => {
                // Late ones are not waited for; each stays in the set.
                drop(tokio::time::timeout(GATHER, tasks.all_ended()).await);
            }
            () = self.queue.shutdown.cancelled() => {}
            () = tokio::time::sleep(longest) => {}
        }
    }

    /// Begins what may begin now.
    async fn round(self: &Arc<Self>, tasks: &mut Tasks) -> sqlx::Result<Claimed> {
        let pace = self.standing.pace();
        for party in tasks.slow() {
            self.standing.pass_over(&party, SLOW);
        }
        let free = match pace {
            Pace::Full => tasks.free(),
            Pace::Probe if tasks.are_probing() => 0,
            Pace::Probe => tasks.free().min(1),
            Pace::PausedUntil(_) => 0,
        };
        if free == 0 {
            return Ok(Claimed::default());
        }
        let (claim, is_probe) = (Claim::new(), pace == Pace::Probe);
        let mut claimed = self.queue.pool.in_time(self.claim(&claim, (free, is_probe), tasks)).await?;
        for effect in std::mem::take(&mut claimed.effects) {
            claimed.passed_over = 0;
            let (id, is_retry) = (effect.id, effect.is_retry());
            let (span, traceparent) = (traced::attempt(self.queue.name, &effect), effect.traceparent.clone());
            let (held, standing) = (Held::new(&effect, &claim), Arc::clone(&self.standing));
            let hold = Arc::new(Hold::new(self.queue.pool.clone(), held, standing, &effect.subject));
            let under_way = UnderWay { shared: Arc::clone(self), effect, hold: Arc::clone(&hold) };
            let performed = async move { trace::below(traceparent.as_ref(), under_way.run().instrument(span)).await };
            tasks.begin(id, hold, (is_retry, is_probe), performed);
        }
        Ok(claimed)
    }

    /// Takes the leases of what is due, in one transaction.
    async fn claim(&self, claim: &Claim, (free, is_probe): (usize, bool), tasks: &Tasks) -> sqlx::Result<Claimed> {
        let (name, passes_over) = (self.queue.name, self.standing.passes_over());
        let rows_max = |wanted: usize| if passes_over { PASSED_OVER_MAX } else { wanted };
        let mut claiming = Claiming { claim, tasks, claimed: Claimed::default() };
        let mut tx = self.queue.pool.begin().await?;
        if is_probe {
            // The newest first: behind many effects that fail there may be no other end to begin at.
            let newest = queue::due_newest(&mut tx, name, rows_max(free)).await?;
            self.take(&mut tx, newest, free, &mut claiming).await?;
        }
        // Those that were tried have their few places first, for there may be no end of the others.
        let retries = tasks.free_retries().min(free - claiming.claimed.effects.len());
        if retries > 0 {
            let again = queue::due(&mut tx, name, true, rows_max(retries)).await?;
            self.take(&mut tx, again, retries, &mut claiming).await?;
        }
        let left = free - claiming.claimed.effects.len();
        if !is_probe && left > 0 {
            let first = queue::due(&mut tx, name, false, rows_max(left)).await?;
            self.take(&mut tx, first, free, &mut claiming).await?;
        }
        tx.commit().await?;
        Ok(claiming.claimed)
    }

    fn passed_over(&self, effect: &Effect) -> Option<Duration> {
        self.standing.passed_over(&self.standing.party_of(effect.id, &effect.subject))
    }

    /// Leases effects until so many are claimed, and puts off those whose party is passed over. Whoever holds an effect whose
    /// lease has ended is dead, or the database's clock has stepped ahead: a living one has as long as a lease to take it back
    /// before anybody else does.
    async fn take(
        &self,
        tx: &mut Transaction,
        due: Vec<Due>,
        effects_max: usize,
        claiming: &mut Claiming<'_>,
    ) -> sqlx::Result<()> {
        let Claiming { claim, tasks, claimed } = claiming;
        for Due { effect, is_claimed } in due {
            if is_claimed {
                queue::contest(tx, effect.id, LEASE).await?;
                claimed.passed_over += 1;
            } else if tasks.contains(effect.id) {
                // It is settled and about to end here, or a clock's step took its claim: never beside itself.
                queue::contest(tx, effect.id, POLL).await?;
                claimed.passed_over += 1;
            } else if let Some(left) = self.passed_over(&effect) {
                queue::pass_over(tx, effect.id, left).await?;
                claimed.passed_over += 1;
            } else if claimed.effects.len() < effects_max {
                queue::lease(tx, effect.id, claim, LEASE).await?;
                claimed.effects.push(effect);
            }
        }
        Ok(())
    }
}
