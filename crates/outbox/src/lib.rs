//! The transactional outbox, for whoever writes events: an event commits with what it is about, or neither does.
//!
//! Guarantees that [`Outbox::append`] can't be called outside of a transaction, that an event that the broker would refuse
//! for its size is refused before it commits, and that [`Outbox::transact`] finds out what became of a COMMIT without an
//! answer. Relies on MySQL or MariaDB alone: outbox-relay publishes what is committed, and NATS only makes it quicker. The
//! tables are those of `docs/outbox-contract.md`.
//!
//! ```no_run
#![doc = include_str!("../examples/register_customer.rs")]
//! ```

mod config;
mod event;
mod metrics;
pub mod status;
mod store;
mod transaction;
mod trouble;
pub mod wake;

use prometheus::Registry;
use runtime::mysql::Receipt;

pub use config::{EventBytesMax, OutboxConfig};
pub use event::NewEvent;
pub use runtime::telemetry::trace::TraceParent;
pub use store::outbox::{StoredEvent, story, versions_after};
pub use transaction::{OpenTransaction, TransactionError};
pub use trouble::Trouble;

use event::Append;
use metrics::Metrics;
use transaction::Attempts;
use wake::Wake;

/// The outbox of a service's database. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct Outbox {
    event_bytes_max: EventBytesMax,
    wake: Wake,
    metrics: Metrics,
}

impl Outbox {
    /// Registers the counters; `event_types` are those that the service appends, so that each is there at 0.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn new(config: &OutboxConfig, event_types: &[&str], registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Metrics::register(registry, event_types)?;
        Ok(Self { event_bytes_max: config.event_bytes_max, wake: Wake::new(metrics.clone()), metrics })
    }

    /// Appends an event. [`Receipt::Duplicate`] says that this very event is there already: an earlier attempt, whose
    /// answer was lost, has committed it and all that belongs to it.
    ///
    /// # Errors
    /// [`TransactionError::EventTooLarge`] before the broker would have to refuse it, when it is too late;
    /// [`TransactionError::VersionTaken`] if another event has its version; else as the database has it.
    pub async fn append(&self, tx: &mut impl OpenTransaction, event: &NewEvent) -> Result<Receipt, TransactionError> {
        self.append_all(tx, &[event]).await
    }

    /// Appends several events, in their order. If the first is there already, so are the others.
    ///
    /// # Errors
    /// As [`Outbox::append`]: roll back then, some of them may be appended.
    pub async fn append_all(
        &self,
        tx: &mut impl OpenTransaction,
        events: &[&NewEvent],
    ) -> Result<Receipt, TransactionError> {
        let appends: Vec<_> = events.iter().map(|event| Append::begin(event)).collect();
        let appended = self.insert(tx, &appends).await;
        appends.iter().for_each(|append| append.end(&appended));
        appended
    }

    async fn insert(&self, tx: &mut impl OpenTransaction, appends: &[Append<'_>]) -> Result<Receipt, TransactionError> {
        for append in appends {
            append.check_size(self.event_bytes_max)?;
        }
        let receipt = store::outbox::insert(tx, appends).await?;
        if let (Receipt::Duplicate, Some(first)) = (receipt, appends.first())
            && !store::outbox::exists(tx, first.event.id).await?
        {
            return Err(TransactionError::VersionTaken);
        }
        Ok(receipt)
    }

    /// Runs a whole transaction, again if it failed by a fault that passes by itself. Each attempt begins its own
    /// transaction and reports a COMMIT that failed as [`TransactionError::AtCommit`]. All ids must be made before the
    /// first attempt: so the next one after a COMMIT without an answer finds its own rows, and knows that it is done.
    ///
    /// # Errors
    /// The last attempt's; as [`TransactionError::AtCommit`] if an attempt may have committed.
    pub async fn transact<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, TransactionError>
    where
        F: Future<Output = Result<T, TransactionError>>,
    {
        let mut attempts = Attempts::begin();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => attempts.next(error).await?,
            }
            self.metrics.retried();
        }
    }

    /// What follows a COMMIT that appended `event`: it is counted, and the relay is woken. If the process dies just before,
    /// the relay polls.
    pub fn committed(&self, event: &NewEvent) {
        self.metrics.appended(&event.event_type);
        self.wake.hint();
    }

    /// What [`wake::run`] is run with.
    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }
}
