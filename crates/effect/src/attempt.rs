//! One effect under way: its turn, the attempt, what its answer means, the conclusion or the next time.
//!
//! The lease is kept while the attempt runs; whoever lost it settles nothing, unless the effect is done. A crash between the
//! other side's answer and the COMMIT of the conclusion leaves the effect as one that may have happened:
//! `a_kill_between_the_answer_and_its_conclusion_concludes_once`. What the other side said may quote a customer's data: it
//! stays in the row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::mysql::Transaction;
use runtime::retry::Retry;
use runtime::telemetry::chain;

use crate::effect::Effect;
use crate::ending::{End, Settlement};
use crate::hold::{Hold, LEASE};
use crate::metrics::Became;
use crate::perform::{Attempt, Perform};
use crate::queue::Shared;
use crate::store::claim::Settled;
use crate::store::queue;
use crate::store::settlement::{self, Again};
use crate::tasks::UNDER_WAY_MAX;
use crate::traced;

/// Once the stop began, an outcome is written within this time, or the lease's end decides.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(10);
/// After the stop began, until an attempt is given up.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(6);
/// Between attempts that are spent, at most.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(1800);
/// Between tries that spend none while the other side is away. All are tried at once when it answers again.
const AWAY_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Between tries that spend none while nobody knows whose fault it is; a second at least, so that others are tried first.
const DOUBT_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// What is told of an effect that waits with others of its party.
const PASSED_OVER: &str = "waits: the other side failed at another effect of this party";
/// What the other side may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

const _: () = assert!(
    LEASE.as_secs() > UNDER_WAY_MAX as u64 + SETTLE_TIME_MAX.as_secs(),
    "an effect waits for its turn, and is settled by a process that stops, within its lease"
);

pub(crate) struct UnderWay<P> {
    pub(crate) shared: Arc<Shared<P>>,
    pub(crate) effect: Effect,
    pub(crate) hold: Arc<Hold>,
}

impl<P: Perform> UnderWay<P> {
    /// Performs the effect once, and settles it.
    pub(crate) async fn run(self) {
        let Shared { queue, standing, rate } = &*self.shared;
        if queue.shutdown.run_until_cancelled(rate.turn()).await.is_none() {
            return self.settle(Some(Became::PutOff), &Settlement::Again(self.untried())).await;
        }
        let begun_at = Instant::now();
        self.hold.begin();
        let performing =
            tokio::time::timeout(queue.limits.attempt_time_max, queue.performer.perform(&self.effect, &self.hold));
        let ended = tokio::select! {
            ended = performing => Some(ended.unwrap_or_else(|_| self.given_up("no answer in time"))),
            () = self.hold.keep() => None,
            () = self.stopped_for(STOP_TIME_MAX) => Some(self.given_up("stopped before the other side had answered")),
        };
        let attempt = match ended {
            Some(attempt) if matches!(attempt, Attempt::Done(_)) || !self.hold.is_lost() => attempt,
            _ => {
                self.became(Became::Lost);
                return tracing::warn!("effect's lease was lost, another process has it");
            }
        };
        let was_away = !standing.is_up();
        let (became, settlement) = self.judge(attempt, begun_at);
        queue.metrics.set_up(standing.is_up());
        if let Settlement::Ended(..) = settlement {
            standing.ended(self.effect.id);
        }
        self.settle(became, &settlement).await;
        if became == Some(Became::Done) {
            self.hasten_others(begun_at, was_away).await;
        }
    }

    fn became(&self, became: Became) {
        self.shared.queue.metrics.attempted(became);
        traced::became(became);
    }

    async fn stopped_for(&self, patience: Duration) {
        self.shared.queue.shutdown.cancelled().await;
        tokio::time::sleep(patience).await;
    }

    /// An attempt that nobody waits for any more.
    fn given_up(&self, why: &str) -> Attempt<P::Outcome> {
        match self.hold.has_left() {
            true => Attempt::Unknown(why.to_owned()),
            false => Attempt::PutOff { reason: why.to_owned(), retry_after: None },
        }
    }

    /// What became of it, if it was tried, and what is to be written.
    fn judge(&self, attempt: Attempt<P::Outcome>, begun_at: Instant) -> (Option<Became>, Settlement<P::Outcome>) {
        let (standing, party, has_witness) = (&self.shared.standing, self.hold.party(), self.hold.has_witness());
        let (became, settlement) = match attempt {
            Attempt::PassedOver(left) => return (None, self.passed_over(left)),
            Attempt::Done(outcome) => {
                if standing.taken(&party, begun_at) {
                    tracing::info!(queue = self.shared.queue.name, "the other side of the effects answers again");
                }
                (Became::Done, Settlement::Ended(End::Done, Some(outcome)))
            }
            Attempt::PutOff { reason, retry_after } => self.away(reason, retry_after),
            Attempt::Unknown(reason) => {
                // Dead by its last attempt in any case: the other side may have done it as often.
                let (became, settlement) = self.spend(Became::Unknown, reason);
                standing.unclear(&party, settlement.delay(), None);
                (became, settlement)
            }
            Attempt::Unclear(reason) | Attempt::Failed(reason) if has_witness => {
                let (became, settlement) = self.spend(Became::Failed, reason);
                standing.pass_over(&party, settlement.delay());
                (became, settlement)
            }
            Attempt::Failed(reason) if !self.is_last_attempt() => self.spend(Became::Failed, reason),
            Attempt::Rejected { reason, outcome } if has_witness => self.dead(self.effect.is_unknown, reason, outcome),
            // What several fail at is the other side's fault, and so may be what one fails at while there is no other: it waits
            // until another one goes through, or a person decides.
            Attempt::Failed(reason) | Attempt::Rejected { reason, .. } => self.doubt(Became::Failed, reason),
            Attempt::Unclear(reason) => self.doubt(Became::PutOff, reason),
            Attempt::Waits { reason, delay } => (Became::PutOff, self.put_off(delay.min(DELAY_MAX), reason)),
            Attempt::Withdrawn { reason, outcome } => {
                (Became::Withdrawn, Settlement::Ended(End::Withdrawn { reason }, Some(outcome)))
            }
            Attempt::Dead(reason) => self.dead(self.effect.is_unknown, reason, None),
        };
        (Some(became), settlement)
    }

    /// As it was before this attempt, and due.
    fn untried(&self) -> Again {
        let Effect { attempts, put_off, is_unknown, .. } = self.effect;
        Again { delay: Duration::ZERO, attempts, put_off, is_unknown, error: None }
    }

    /// The other side is not there for anybody: no attempt is spent, and the queue pauses.
    fn away(&self, reason: String, retry_after: Option<Duration>) -> (Became, Settlement<P::Outcome>) {
        if self.shared.queue.shutdown.is_cancelled() {
            return (Became::PutOff, Settlement::Again(self.untried()));
        }
        if self.shared.standing.away(retry_after) {
            tracing::warn!(queue = self.shared.queue.name, error = reason, "effects wait for their other side");
        }
        let delay = Retry::delay_after(AWAY_DELAY.0, AWAY_DELAY.1, self.effect.put_off + 1);
        let delay = delay.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        (Became::PutOff, self.put_off(delay, reason))
    }

    /// Nothing was asked: it waits with others of its party, and what an earlier attempt said stays.
    fn passed_over(&self, delay: Duration) -> Settlement<P::Outcome> {
        let untried = self.untried();
        let error = (!self.effect.is_retry()).then(|| PASSED_OVER.to_owned());
        let put_off = untried.put_off.max(1);
        Settlement::Again(Again { delay, put_off, error, ..untried })
    }

    /// Whose fault it is others decide: no attempt is spent, and the next effect goes alone.
    fn doubt(&self, became: Became, reason: String) -> (Became, Settlement<P::Outcome>) {
        let (first, longest) = DOUBT_DELAY;
        let delay = first + Retry::delay_after(first, longest, self.effect.put_off + 1);
        self.shared.standing.unclear(&self.hold.party(), delay, Some(self.effect.id));
        tracing::warn!(put_off = self.effect.put_off + 1, "effect failed and is put off; see effect.last_error");
        (became, self.put_off(delay, reason))
    }

    fn put_off(&self, delay: Duration, reason: String) -> Settlement<P::Outcome> {
        let untried = self.untried();
        Settlement::Again(Again { delay, put_off: untried.put_off + 1, error: Some(reason), ..untried })
    }

    fn is_last_attempt(&self) -> bool {
        self.effect.attempts + 1 >= self.shared.queue.limits.attempts_max
    }

    fn spend(&self, became: Became, reason: String) -> (Became, Settlement<P::Outcome>) {
        let is_unknown = self.effect.is_unknown || became == Became::Unknown;
        if self.is_last_attempt() {
            return self.dead(is_unknown, reason, None);
        }
        let attempts = self.effect.attempts + 1;
        tracing::warn!(attempts, is_unknown, "effect did not end well, trying again later; see effect.last_error");
        let delay = Retry::delay_after(self.shared.queue.limits.delay_first, DELAY_MAX, attempts);
        (became, Settlement::Again(Again { delay, attempts, put_off: 0, is_unknown, error: Some(reason) }))
    }

    fn dead(&self, is_unknown: bool, error: String, outcome: Option<P::Outcome>) -> (Became, Settlement<P::Outcome>) {
        let attempts = self.effect.attempts + 1;
        tracing::error!(attempts, is_unknown, "effect is dead, it needs a person; see effect.last_error");
        (Became::Dead, Settlement::Ended(End::Dead { is_unknown, error }, outcome))
    }

    /// The other side does effects: all that waited while it was away go now, and what it refused before is told from what it
    /// refuses now while that is certain.
    async fn hasten_others(&self, begun_at: Instant, was_away: bool) {
        let Shared { queue, standing, .. } = &*self.shared;
        let waiting = standing.waiting(begun_at);
        let hastened = match (was_away, &waiting[..]) {
            (true, _) => queue::hasten_all(&queue.pool, queue.name).await,
            (false, []) => return,
            (false, waiting) => queue::hasten(&queue.pool, waiting).await,
        };
        match hastened {
            Ok(()) => queue.wake.hint(),
            // They are tried in their time.
            Err(error) => tracing::warn!(error = chain(&error), "effects that were put off can't be tried at once"),
        }
    }

    /// Settles, trying again while the database is away, and keeps the lease meanwhile: what has happened must not happen again
    /// because a line fell silent for some seconds. A stop ends the patience. Counts what became of it, if it was tried.
    async fn settle(&self, became: Option<Became>, settlement: &Settlement<P::Outcome>) {
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
        let kept = async {
            self.hold.keep().await;
            std::future::pending::<()>().await;
        };
        let is_ours = tokio::select! {
            is_ours = written => Some(is_ours),
            () = self.stopped_for(SETTLE_TIME_MAX) => None,
            () = kept => None,
        };
        if let Some(became) = if is_ours == Some(true) { became } else { Some(Became::Lost) } {
            self.became(became);
        }
        match is_ours {
            Some(true) => {}
            Some(false) => tracing::warn!("effect's lease ended before it was settled, another process has it"),
            None => tracing::warn!("effect could not be settled; it is tried again when its lease ends"),
        }
    }

    /// Whether the effect was ours, and the outcome is written.
    async fn write(&self, settlement: &Settlement<P::Outcome>) -> anyhow::Result<bool> {
        let (pool, held) = (&self.shared.queue.pool, self.hold.held());
        match settlement {
            Settlement::Again(again) => Ok(settlement::again(pool, held, again).await? == Settled::Yes),
            Settlement::Ended(end, outcome) => self.conclude(end, outcome.as_ref()).await,
        }
    }

    async fn conclude(&self, end: &End, outcome: Option<&P::Outcome>) -> anyhow::Result<bool> {
        match self.conclude_once(end, outcome).await {
            Ok(is_ours) => Ok(is_ours),
            // An answer to COMMIT may have been lost.
            Err(_) if settlement::is_done(&self.shared.queue.pool, self.hold.held()).await? => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn conclude_once(&self, end: &End, outcome: Option<&P::Outcome>) -> anyhow::Result<bool> {
        let (Shared { queue, .. }, held) = (&*self.shared, self.hold.held());
        let mut tx: Transaction = queue.pool.begin().await?;
        let conclusion = match outcome {
            Some(outcome) => Some(queue.performer.conclude(&mut tx, &self.effect, outcome).await?),
            None => None,
        };
        let settled = match end {
            End::Done => settlement::done(&mut tx, held).await?,
            End::Withdrawn { reason } => settlement::withdrawn(&mut tx, held, reason).await?,
            End::Dead { is_unknown, error } => settlement::dead(&mut tx, held, *is_unknown, error).await?,
        };
        if settled == Settled::ClaimLost {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.commit().await?;
        if let Some(conclusion) = conclusion {
            queue.performer.committed(conclusion);
        }
        Ok(true)
    }
}
