//! What a service says about events: all that an inbox does not know by itself.

use std::fmt::Debug;

use runtime::mysql::Transaction;
use schema::envelope::Envelope;

/// Makes effects of the events of a [`Source`](crate::Source). Clone it cheaply: every part of the inbox has one.
pub trait Handler: Clone + Debug + Send + Sync + 'static {
    /// What an event changes, decided and not written yet.
    type Effect: Clone + Debug + Send + Sync + 'static;

    /// What an event comes to. Pure: asked again for the same event, it says the same. The envelope is of the source's
    /// aggregate type, the payload as it was published. It is asked within the event's trace: an effect that enqueues or appends
    /// takes `TraceParent::current` along.
    fn decide(&self, envelope: &Envelope, payload: &[u8]) -> Decision<Self::Effect>;

    /// Writes the effects of some events, in the order of each aggregate's versions, in the transaction that records
    /// the events: all of it commits, or nothing. An error that the server gives this value only, such as a refused value,
    /// costs the event an attempt; any other is waited for.
    ///
    /// # Errors
    /// Those of the database.
    fn apply(
        &self,
        tx: &mut Transaction,
        effects: &[&Self::Effect],
    ) -> impl Future<Output = sqlx::Result<Applied>> + Send;

    /// Called after a commit that had effects, to wake whoever goes on with them. A process that dies before it calls this
    /// calls it for nobody: whoever is woken has to look at its table, too.
    fn committed(&self) {}
}

/// What an event comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<E> {
    /// It changes something.
    Apply(E),
    /// The service does not handle events of this type: it is acknowledged, and its version counts as passed.
    Ignore,
    /// It can never be processed, for this reason: it is kept whole in `inbox_dead` for a person to decide.
    Dead(String),
}

/// What became of effects that were to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All are written.
    Done,
    /// One of them is there already, by a key of the service's own. Nothing of the others may be relied on: all are rolled
    /// back, and each is tried alone. Alone, the event counts as done.
    Duplicate,
    /// One of them can't be written yet. Rolled back, too; alone, the event is parked and tried again without spending
    /// an attempt, and later versions of its aggregate wait for it.
    Later,
}
