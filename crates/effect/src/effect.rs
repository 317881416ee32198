//! An effect: what is enqueued, what is performed, and what became of one that is taken back.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use runtime::telemetry::trace::TraceParent;
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
    /// What wants it, as a span: `TraceParent::current` where that is decided.
    pub traceparent: Option<TraceParent>,
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
    /// What wanted it.
    pub traceparent: Option<TraceParent>,
    /// When it was enqueued, by the database clock.
    pub created_at: DateTime<Utc>,
    /// Attempts that were spent before this one.
    pub attempts: u32,
    /// How often it was put off since then.
    pub put_off: u32,
    /// An earlier attempt may have happened: find out before doing it again.
    pub is_unknown: bool,
}

impl Effect {
    /// Whether it was tried before.
    pub(crate) fn is_retry(&self) -> bool {
        self.attempts > 0 || self.put_off > 0 || self.is_unknown
    }
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
