//! Who performs effects, and what an attempt can come to.

use std::fmt::Debug;
use std::time::Duration;

use runtime::mysql::Transaction;

use crate::effect::Effect;
use crate::hold::Hold;

/// What an attempt came to.
#[derive(Clone, Debug)]
pub enum Attempt<O> {
    /// The other side has answered for good, be it with a no: it is concluded, and never tried again.
    Done(O),
    /// It has not happened by this attempt, and may go better later. Spends an attempt, but not the last one before an effect of
    /// another party went through: what all fail at is not one effect's fault.
    Failed(String),
    /// As `Failed`, for good: it is dead once an effect of another party went through, and waits for that.
    Rejected {
        /// Why.
        reason: String,
        /// What is concluded when it is dead by this attempt, in the same transaction.
        outcome: Option<O>,
    },
    /// It has not happened by this attempt; nobody knows yet whether that is its own fault or the other side's. Spends an
    /// attempt if it comes again after an effect of another party went through.
    Unclear(String),
    /// It may have happened. Spends an attempt; the next one is told.
    Unknown(String),
    /// Nothing was sent: its party is passed over, as [`Hold::is_of`] said, for so long still. Spends no attempt.
    PassedOver(Duration),
    /// Nothing was sent: the other side is away, or wants less of us. Spends no attempt; the queue goes on with one at a time,
    /// until one is done.
    PutOff {
        /// Why.
        reason: String,
        /// Not before, if the other side said so.
        retry_after: Option<Duration>,
    },
    /// Nothing was sent, and nobody is at fault: this effect has to wait, and no other. Spends no attempt.
    Waits {
        /// Why.
        reason: String,
        /// How long; it is asked again after half an hour at the latest.
        delay: Duration,
    },
    /// Nobody wants it any more, and the other side was not asked: it ends as withdrawn, and is concluded.
    Withdrawn {
        /// Why.
        reason: String,
        /// What is concluded.
        outcome: O,
    },
    /// It can't ever go well as it is, whatever becomes of others: a person decides.
    Dead(String),
}

/// Performs the effects of a queue.
pub trait Perform: Clone + Debug + Send + Sync + 'static {
    /// What the other side has answered for good.
    type Outcome: Debug + Send + Sync + 'static;
    /// What [`Perform::committed`] is told.
    type Conclusion: Send + 'static;

    /// One attempt, outside of any transaction. It calls [`Hold::let_go`] right before the step that makes the effect happen.
    /// It is given up after the queue's time, or when the process stops, and counts as unknown then if it was let go.
    fn perform(&self, effect: &Effect, hold: &Hold) -> impl Future<Output = Attempt<Self::Outcome>> + Send;

    /// Writes what the outcome means, in the transaction that ends the effect, be it as done, withdrawn or dead. That is rolled back if another process has
    /// concluded the effect meanwhile, so it must bear to find it so. It may be run again after a fault.
    fn conclude(
        &self,
        tx: &mut Transaction,
        effect: &Effect,
        outcome: &Self::Outcome,
    ) -> impl Future<Output = anyhow::Result<Self::Conclusion>> + Send;

    /// After the commit of a conclusion. A process that dies right before it never calls it.
    fn committed(&self, conclusion: Self::Conclusion);
}
