//! How a batch is brought into a database that is slow, away, or locked in places.
//!
//! Guarantees that what is too much for one transaction is tried in smaller ones, down to one message each, and that a
//! message which alone can't be written, while others can, does not hold up what comes behind it. An outage costs no
//! message anything.

use std::time::{Duration, Instant};

use runtime::mysql;
use runtime::retry::{Retry, Stopped};
use runtime::telemetry::chain;

use super::faults::Fault;
use super::{ATTEMPT_TIME_MAX, Consumer};
use crate::handler::Handler;
use crate::process::{Batch, Entry};

/// An attempt that took less leaves room for twice as many messages.
const QUICK: Duration = Duration::from_secs(2);

impl<H: Handler> Consumer<H> {
    /// Returns when every message has an outcome, or at a stop; or when the database took others, but refused each of those
    /// that are left when it was alone, and so twice.
    pub(super) async fn process_patiently(&self, batch: &Batch<H::Effect>) {
        let mut retry = Retry::new(Duration::from_millis(20), Duration::from_secs(2));
        // Also when nothing but a lock of somebody else stands in the way.
        let mut is_taking = false;
        while batch.open() > 0 {
            let before = batch.open();
            let Ok(is_locked) = self.round(batch, &mut retry).await else { return };
            let is_stuck = batch.open() == before;
            if is_stuck && is_taking {
                break;
            }
            is_taking |= !is_stuck || is_locked;
        }
    }

    /// Tries each message that has no outcome: in stretches that become shorter with each fault, until it has failed alone.
    /// Whether the database was well, but had something locked.
    async fn round(&self, batch: &Batch<H::Effect>, retry: &mut Retry) -> Result<bool, Stopped> {
        let (mut rest, mut is_locked) = (&batch.entries[..], false);
        while let Some(first) = rest.iter().position(Entry::is_open) {
            rest = &rest[first..];
            let stretch = &rest[..rest.len().min(self.process.limit.now())];
            let started = Instant::now();
            let attempt = self.process.batch(batch.reading, stretch);
            let fault = match tokio::time::timeout(ATTEMPT_TIME_MAX, attempt).await {
                Ok(Ok(())) => {
                    self.monitor.processed();
                    retry.reset();
                    if started.elapsed() < QUICK {
                        self.process.limit.grow();
                    }
                    continue;
                }
                Ok(Err(error)) => {
                    is_locked |= mysql::is_lock_wait(&error);
                    fault(&error, stretch.len())
                }
                Err(_) => {
                    tracing::warn!(limit = ?ATTEMPT_TIME_MAX, tried = stretch.len(), "database hangs, trying again");
                    Fault::DatabaseUnavailable
                }
            };
            self.monitor.report(fault);
            self.process.limit.shrink(stretch.len());
            retry.wait(&self.shutdown).await?;
            rest = &rest[usize::from(stretch.len() == 1)..];
        }
        Ok(is_locked)
    }
}

fn fault(error: &sqlx::Error, tried: usize) -> Fault {
    if mysql::is_transient(error) {
        tracing::warn!(error = chain(error), tried, "database fault, trying again");
        Fault::DatabaseUnavailable
    } else {
        tracing::error!(error = chain(error), tried, "database refuses, trying again");
        Fault::DatabaseRefuses
    }
}
