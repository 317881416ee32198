//! An effect, who performs it, and what an attempt can come to.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::Transaction;
use schema::ids::EffectId;
use serde_json::Value;
use tokio::sync::Notify;

/// An effect that is not enqueued yet.
#[derive(Clone, Debug)]
pub struct New {
    /// The idempotency key of every attempt. Make it once for all attempts of a transaction.
    pub id: EffectId,
    /// The id of what it is about, such as a payment: 1 to 64 visible ASCII characters.
    pub subject: String,
    /// For example `charge`.
    pub kind: &'static str,
    /// What the performer needs to know.
    pub body: Value,
}

/// An effect that is being performed.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The idempotency key of every attempt.
    pub id: EffectId,
    /// The id of what it is about.
    pub subject: String,
    /// For example `charge`.
    pub kind: String,
    /// What the performer needs to know.
    pub body: Value,
    /// When it was enqueued, by the database clock.
    pub created_at: DateTime<Utc>,
    /// Attempts that were spent before this one.
    pub attempts: u32,
    /// How often it was put off since then.
    pub put_off: u32,
    /// An earlier attempt may have happened: find out before doing it again.
    pub is_unknown: bool,
}

/// What an attempt came to.
#[derive(Clone, Debug)]
pub enum Attempt<O> {
    /// The other side has answered for good, be it with a no: it is concluded, and never tried again.
    Done(O),
    /// It has not happened, by this attempt or an earlier one, and may go better later. Spends an attempt.
    Failed(String),
    /// It may have happened. Spends an attempt; the next one is told.
    Unknown(String),
    /// Nothing was sent: the other side is away, or wants less of us. Spends no attempt; the queue goes on with one at a time,
    /// until one is answered.
    PutOff {
        /// Why.
        reason: String,
        /// Not before, if the other side said so.
        retry_after: Option<Duration>,
    },
    /// It can't ever go well as it is: a person decides.
    Dead(String),
}

/// Performs the effects of a queue.
pub trait Perform: Clone + Debug + Send + Sync + 'static {
    /// What the other side has answered for good.
    type Outcome: Debug + Send + Sync + 'static;
    /// What [`Perform::committed`] is told.
    type Conclusion: Send + 'static;

    /// One attempt, outside of any transaction. It is given up after the queue's time, or when the process stops, and counts
    /// as unknown then.
    fn perform(&self, effect: &Effect) -> impl Future<Output = Attempt<Self::Outcome>> + Send;

    /// Writes what the outcome means, in the transaction that ends the effect. That is rolled back if another process has
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

/// Whether an effect was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// It was: it has not happened, and never will.
    Withdrawn,
    /// It may have happened, or is happening: its conclusion follows, or a person's decision.
    MayHappen,
    /// It is concluded, or was taken back before.
    Ended,
}

/// Wakes a queue after a commit that enqueued: it carries nothing and may be lost, for the queue polls too.
#[derive(Clone, Debug, Default)]
pub struct Wake(pub(crate) Arc<Notify>);

impl Wake {
    /// Has the queue of this process claim at once.
    pub fn hint(&self) {
        self.0.notify_one();
    }
}
