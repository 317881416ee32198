//! Applies what is parked and due: woken when a gate moves on without all that follow it, and each second, for a process
//! may have died before it came to that. Every replica does it; the gates' locks keep them apart.

use std::time::Duration;

use chrono::Utc;
use runtime::retry::Retry;
use runtime::telemetry::chain;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::consumer::ATTEMPT_TIME_MAX;
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::process::Process;

const PERIOD: Duration = Duration::from_secs(1);

/// The one of this process.
#[derive(Debug)]
pub struct Resuming<H> {
    /// What makes effects of events.
    pub process: Process<H>,
    /// What is counted.
    pub metrics: Metrics,
    /// The stop of the process.
    pub shutdown: CancellationToken,
}

impl<H: Handler> Resuming<H> {
    /// Runs until the stop.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(5));
        while !self.shutdown.is_cancelled() {
            let tried = self.process.limit.now();
            let attempt = timeout(ATTEMPT_TIME_MAX, self.process.resume()).await;
            self.count();
            match attempt {
                Ok(Ok(true)) => {
                    retry.reset();
                    self.process.limit.grow();
                }
                Ok(Ok(false)) => {
                    retry.reset();
                    let due = timeout(PERIOD, self.process.tally.until_called());
                    if self.shutdown.run_until_cancelled(due).await.is_none() {
                        break;
                    }
                }
                Ok(Err(error)) => {
                    self.process.limit.shrink(tried);
                    tracing::warn!(error = chain(&error), "database fault, trying what is parked again");
                    if retry.wait(&self.shutdown).await.is_err() {
                        break;
                    }
                }
                Err(_) => {
                    self.process.limit.shrink(tried);
                    tracing::warn!(limit = ?ATTEMPT_TIME_MAX, "database hangs, trying what is parked again");
                }
            }
        }
        Ok(())
    }

    /// Counts what came of parked events, whoever applied them.
    fn count(&self) {
        let now = Utc::now();
        let outcomes = self.process.tally.take();
        for (outcome, stored_at) in &outcomes {
            self.metrics.processed(*outcome, (now - stored_at).to_std().unwrap_or_default());
        }
        if !outcomes.is_empty() {
            self.process.inbox.handler.committed();
        }
    }
}
