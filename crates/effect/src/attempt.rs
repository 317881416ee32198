//! One effect under way: the attempt, what its answer means, the conclusion or the next time.
//!
//! A crash between the other side's answer and the COMMIT of the conclusion leaves the effect as one that may have happened:
//! `a_kill_between_the_answer_and_its_conclusion_concludes_once`.

use std::sync::Arc;
use std::time::Duration;

use runtime::mysql::Transaction;
use runtime::retry::Retry;
use runtime::telemetry::chain;

use crate::effect::{Attempt, Effect, Perform};
use crate::metrics::Became;
use crate::pace::Standing;
use crate::queue::Queue;
use crate::store::queue::{self, Claim};
use crate::store::settlement::{self, Again, Settled};

/// An outcome is written within this time, or the lease's end decides. The lease is that much longer than the attempt.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(20);
/// After the stop began, until an attempt is given up.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(6);
/// Between attempts that are spent.
const DELAY: (Duration, Duration) = (Duration::from_secs(1), DELAY_MAX);
/// The longest of them.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(1800);
/// Between tries that spend none. All are tried at once when the other side answers again.
const PUT_OFF_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// What the other side may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

pub(crate) struct UnderWay<P> {
    pub(crate) queue: Queue<P>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) effect: Effect,
    pub(crate) claim: Claim,
}

/// What is written about an effect.
enum Settlement<'a, O> {
    Done(&'a O),
    Again(Again<'a>),
    Dead { is_unknown: bool, error: &'a str },
}

impl<P: Perform> UnderWay<P> {
    /// Performs the effect once, and settles it.
    pub(crate) async fn run(self) {
        let performing = tokio::time::timeout(self.queue.attempt_time_max, self.queue.performer.perform(&self.effect));
        let attempt = tokio::select! {
            ended = performing => ended.unwrap_or_else(|_| {
                Attempt::Unknown(format!("no answer within {:?}", self.queue.attempt_time_max))
            }),
            () = self.stopped() => return self.give_up().await,
        };
        if !matches!(attempt, Attempt::PutOff { .. } | Attempt::Unknown(_)) && self.standing.answered() {
            tracing::info!(queue = self.queue.name, "the other side of the effects answers again");
            self.hasten().await;
        }
        match attempt {
            Attempt::Done(outcome) => self.settle(Became::Done, &Settlement::Done(&outcome)).await,
            Attempt::Failed(reason) => self.spend(Became::Failed, &reason).await,
            Attempt::Unknown(reason) => self.spend(Became::Unknown, &reason).await,
            Attempt::PutOff { reason, retry_after } => self.put_off(&reason, retry_after).await,
            Attempt::Dead(reason) => self.dead(self.effect.is_unknown, &reason).await,
        }
    }

    async fn stopped(&self) {
        self.queue.shutdown.cancelled().await;
        tokio::time::sleep(STOP_TIME_MAX).await;
    }

    /// The process can't wait for the answer: the next one finds out.
    async fn give_up(&self) {
        let Effect { attempts, put_off, .. } = self.effect;
        let again = Again { delay: Duration::ZERO, attempts, put_off, is_unknown: true, error: None };
        self.settle(Became::Unknown, &Settlement::Again(again)).await;
    }

    async fn spend(&self, became: Became, reason: &str) {
        let attempts = self.effect.attempts + 1;
        let is_unknown = became == Became::Unknown;
        if attempts >= self.queue.config.effect_attempts_max {
            return self.dead(is_unknown, reason).await;
        }
        tracing::warn!(attempts, is_unknown, error = reason, "effect did not end well, trying again later");
        let delay = Retry::delay_after(DELAY.0, DELAY.1, attempts);
        let again = Again { delay, attempts, put_off: 0, is_unknown, error: Some(reason) };
        self.settle(became, &Settlement::Again(again)).await;
    }

    async fn put_off(&self, reason: &str, retry_after: Option<Duration>) {
        if self.standing.put_off(retry_after) {
            tracing::warn!(queue = self.queue.name, error = reason, "effects wait for their other side");
        }
        let Effect { attempts, put_off, is_unknown, .. } = self.effect;
        let (first, longest) = PUT_OFF_DELAY;
        let delay = Retry::delay_after(first, longest, put_off + 1);
        let delay = delay.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        let again = Again { delay, attempts, put_off: put_off + 1, is_unknown, error: Some(reason) };
        self.settle(Became::PutOff, &Settlement::Again(again)).await;
    }

    async fn dead(&self, is_unknown: bool, error: &str) {
        tracing::error!(attempts = self.effect.attempts + 1, is_unknown, error, "effect is dead, it needs a person");
        self.settle(Became::Dead, &Settlement::Dead { is_unknown, error }).await;
    }

    /// Others that were put off are tried now.
    async fn hasten(&self) {
        match queue::hasten(&self.queue.pool, self.queue.name).await {
            Ok(()) => self.queue.wake.hint(),
            // They are tried in their time.
            Err(error) => tracing::warn!(error = chain(&error), "effects that were put off can't be tried at once"),
        }
    }

    /// Settles, trying again while the database is away; after that the lease's end decides.
    async fn settle(&self, became: Became, settlement: &Settlement<'_, P::Outcome>) {
        let written = async {
            let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(2));
            loop {
                match self.write(settlement).await {
                    Ok(is_ours) => return is_ours,
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "settling an effect failed, trying again");
                    }
                }
                tokio::time::sleep(retry.next_delay()).await;
            }
        };
        let is_ours = tokio::time::timeout(SETTLE_TIME_MAX, written).await.ok();
        self.queue.metrics.attempted(if is_ours == Some(true) { became } else { Became::Lost });
        match is_ours {
            Some(true) => {}
            Some(false) => tracing::warn!("effect's lease ended before it was settled, another process has it"),
            None => tracing::warn!("effect could not be settled; its outcome is found out when its lease ends"),
        }
    }

    /// Whether the effect was under our claim, and the outcome is written.
    async fn write(&self, settlement: &Settlement<'_, P::Outcome>) -> anyhow::Result<bool> {
        let (pool, id) = (&self.queue.pool, self.effect.id);
        let settled = match settlement {
            Settlement::Done(outcome) => return self.conclude(outcome).await,
            Settlement::Again(again) => settlement::again(pool, id, &self.claim, *again).await?,
            Settlement::Dead { is_unknown, error } => {
                settlement::dead(pool, id, &self.claim, (*is_unknown, error)).await?
            }
        };
        Ok(settled == Settled::Yes)
    }

    async fn conclude(&self, outcome: &P::Outcome) -> anyhow::Result<bool> {
        match self.conclude_once(outcome).await {
            Ok(is_ours) => Ok(is_ours),
            // An answer to COMMIT may have been lost.
            Err(_) if settlement::is_done(&self.queue.pool, self.effect.id, &self.claim).await? => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn conclude_once(&self, outcome: &P::Outcome) -> anyhow::Result<bool> {
        let mut tx: Transaction = self.queue.pool.begin().await?;
        let conclusion = self.queue.performer.conclude(&mut tx, &self.effect, outcome).await?;
        if settlement::done(&mut tx, self.effect.id, &self.claim).await? == Settled::ClaimLost {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.commit().await?;
        self.queue.performer.committed(conclusion);
        Ok(true)
    }
}
