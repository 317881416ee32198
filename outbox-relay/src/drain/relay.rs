//! The relay loop: claim, publish, settle, while this relay is the active one.
//!
//! Relies on the lease for being alone and on the publisher for the order. The loop reads the table whether woken or
//! polling, so a lost hint costs a poll interval and nothing else. One step publishes a batch while the next one is
//! claimed and the last one is settled; see [`crate::drain::pipeline`] for when that is safe. Shutdown is heeded between steps,
//! never between publish and settle.

use std::sync::Arc;
use std::time::Duration;

use runtime::retry::Retry;
use runtime::telemetry::chain;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::drainer::{Drainer, TurnError};
use super::line::NOT_CONNECTED;
use super::pipeline::{Pipeline, Turn};
use super::settler::SettleError;
use crate::lease::{Lease, Tenure};
use crate::publish::Outage;
use crate::stream::Reach;

/// The first poll after work comes this soon; each further one twice as late, up to the poll interval.
const POLL_FIRST: Duration = Duration::from_millis(20);

/// Everything that the loop works with.
#[derive(Debug)]
pub struct Relay {
    pub drainer: Drainer,
    pub lease: Lease,
    pub reach: Reach,
    pub wake: Arc<Notify>,
    pub poll_interval: Duration,
    /// How often the stream is checked.
    pub watch_interval: Duration,
}

impl Relay {
    /// Runs until shutdown.
    ///
    /// # Errors
    /// A database fault that waiting can't fix, such as a missing table or right, or a stream that is not ours.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.drainer.lines.admit().await?;
        while let Ok(tenure) = self.lease.acquire(&self.reach, &shutdown).await {
            let drain = async {
                let result = self.drain(&tenure, &shutdown).await;
                tenure.over.cancel();
                result
            };
            let (result, ()) = tokio::join!(drain, self.lease.keep(&tenure, &shutdown));
            self.drainer.lines.stand_by();
            self.lease.release(&tenure).await;
            match result {
                Err(TurnError::Misconfigured(misconfigured)) => return Err(misconfigured.into()),
                result => result?,
            }
        }
        Ok(())
    }

    async fn drain(&self, tenure: &Tenure, shutdown: &CancellationToken) -> Result<(), TurnError> {
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut pipeline = Pipeline::new(self.drainer.batch_size_max);
        let mut poll = POLL_FIRST;
        let mut is_outage_noted = tenure.inherits_outage;
        while tenure.is_valid() && !shutdown.is_cancelled() {
            match self.drainer.step(tenure, &mut pipeline).await {
                Ok(turn) => {
                    if pipeline.probe_succeeded(self.drainer.batch_size_max) {
                        tracing::info!("publishing again");
                    }
                    self.drainer.metrics.outage_ended();
                    if is_outage_noted {
                        is_outage_noted = !self.lease.note_outage(tenure, None).await;
                    }
                    retry.reset();
                    poll = self.after(turn, poll, tenure, shutdown).await;
                }
                Err(error) if error.passes() => {
                    tracing::warn!(error = chain(&error), "paused, trying again");
                    self.drainer.metrics.outage(error.class());
                    if let TurnError::Outage(outage) = error {
                        self.lease.note_outage(tenure, Some(&explain(outage, &pipeline))).await;
                        // Also if that failed: it may have been carried out.
                        is_outage_noted = true;
                    }
                    pipeline = Pipeline::probing();
                    if retry.wait(shutdown).await.is_err() {
                        break;
                    }
                }
                Err(TurnError::Settle(SettleError::LeaseLost)) => return self.was_replaced(tenure),
                Err(TurnError::Over) => break,
                Err(error) => return Err(error),
            }
        }
        match self.drainer.finish(tenure, pipeline).await {
            Err(TurnError::Settle(SettleError::LeaseLost)) => self.was_replaced(tenure),
            result => result,
        }
    }

    fn was_replaced(&self, tenure: &Tenure) -> Result<(), TurnError> {
        tracing::error!(token = tenure.token, "another relay took over, nothing was settled");
        self.drainer.metrics.stale_settle();
        Ok(())
    }

    /// Waits for a reason to claim again; how long the wait after that is to be at most. A hint that came since the last
    /// wait ends this one at once.
    async fn after(&self, turn: Turn, poll: Duration, tenure: &Tenure, shutdown: &CancellationToken) -> Duration {
        let poll = match turn {
            Turn::More => return POLL_FIRST,
            Turn::Worked => POLL_FIRST,
            Turn::Idle => poll,
        };
        let poll = poll.min(self.poll_interval).min(self.watch_interval);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tenure.over.cancelled() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(poll) => {}
        }
        poll * 2
    }
}

/// Why the broker takes nothing, for people: without a connection, a publish merely times out.
fn explain(Outage(reason): Outage, pipeline: &Pipeline) -> String {
    if pipeline.is_connected() { reason } else { format!("{NOT_CONNECTED}: {reason}") }
}
