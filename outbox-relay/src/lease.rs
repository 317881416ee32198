//! The lease: of any number of relays, one is active.
//!
//! Guarantees that a relay publishes only while its tenure is valid by its own monotonic clock, which runs on while
//! the process is stopped, and that it settles only while the database still has its epoch. A tenure that is not
//! renewed in time ends by itself; the settles of a relay that slept through its end change nothing
//! (`a_stale_relay_settles_nothing`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use runtime::mysql::Pool;
use runtime::retry::{Retry, Stopped};
use runtime::telemetry::chain;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::store;

/// Takes, keeps and gives up the lease of one outbox.
#[derive(Clone, Debug)]
pub struct Lease {
    pool: Pool,
    name: &'static str,
    holder: String,
    time: Duration,
    metrics: Metrics,
}

/// The time in which this relay is the active one.
#[derive(Debug)]
pub struct Tenure {
    /// The fencing token of every settle.
    pub epoch: u64,
    valid_until: Mutex<Instant>,
    /// Cancelled when the tenure is over.
    pub over: CancellationToken,
}

impl Tenure {
    /// Whether this relay may still publish.
    pub fn is_valid(&self) -> bool {
        !self.over.is_cancelled() && Instant::now() < self.valid_until()
    }

    fn valid_until(&self) -> Instant {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extend(&self, until: Instant) {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Lease {
    /// A lease that other relays may take `time` after this one died.
    pub fn new(pool: Pool, name: &'static str, time: Duration, metrics: Metrics) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host.trim().chars().take(50).collect();
        let holder = format!("{host}:{}:{}", std::process::id(), uuid::Uuid::now_v7().simple());
        Self { pool, name, holder, time, metrics }
    }

    /// Stands by until the lease is free, then takes it.
    ///
    /// # Errors
    /// [`Stopped`] when the process is to stop.
    pub async fn acquire(&self, shutdown: &CancellationToken) -> Result<Tenure, Stopped> {
        let mut retry = Retry::new(self.time / 3, self.time / 3);
        loop {
            if shutdown.is_cancelled() {
                return Err(Stopped);
            }
            // Counted from before the statement, so that our clock runs out before the database's does.
            let valid_until = Instant::now() + self.time;
            match self.take().await {
                Ok(Some(epoch)) => {
                    return Ok(Tenure { epoch, valid_until: Mutex::new(valid_until), over: shutdown.child_token() });
                }
                Ok(None) => {
                    self.metrics.outage_ended();
                    tracing::debug!("another relay is active, standing by");
                }
                Err(error) => {
                    self.metrics.database_away();
                    tracing::warn!(error = chain(&error), "can't take the lease, trying again");
                }
            }
            retry.wait(shutdown).await?;
        }
    }

    async fn take(&self) -> sqlx::Result<Option<u64>> {
        if !store::lease::take(&self.pool, self.name, &self.holder, self.time).await? {
            return Ok(None);
        }
        // Should another have taken it meanwhile, ours had expired.
        store::lease::epoch(&self.pool, self.name, &self.holder).await
    }

    /// Renews the tenure three times as often as needed, until it is over; ends it if that fails for too long.
    pub async fn keep(&self, tenure: &Tenure) {
        loop {
            tokio::select! {
                () = tenure.over.cancelled() => return,
                () = tokio::time::sleep(self.time / 3) => {}
            }
            let valid_until = Instant::now() + self.time;
            let renewal = store::lease::renew(&self.pool, self.name, tenure.epoch, self.time);
            match tokio::time::timeout_at(tenure.valid_until().into(), renewal).await {
                Ok(Ok(true)) => tenure.extend(valid_until),
                Ok(Ok(false)) => {
                    tracing::warn!(epoch = tenure.epoch, "another relay took the lease");
                    tenure.over.cancel();
                }
                Ok(Err(error)) => tracing::warn!(error = chain(&error), "can't renew the lease, trying again"),
                Err(_) => {}
            }
            if !tenure.is_valid() && !tenure.over.is_cancelled() {
                tracing::warn!(epoch = tenure.epoch, "the lease was not renewed in time, this relay stands by");
                self.metrics.database_away();
                tenure.over.cancel();
            }
        }
    }

    /// Tells people why the broker takes no events, or that it takes them again; whether that could be written.
    pub async fn note_outage(&self, tenure: &Tenure, outage: Option<&str>) -> bool {
        let noted = store::lease::note_outage(&self.pool, self.name, tenure.epoch, outage).await;
        if let Err(error) = &noted {
            tracing::warn!(error = chain(error), "can't write down how the broker is");
        }
        noted.is_ok()
    }

    /// Ends the tenure for good, so that a standby takes over at once. A failure costs it the lease time, no more.
    pub async fn release(&self, tenure: &Tenure) {
        let release = store::lease::release(&self.pool, self.name, tenure.epoch);
        match tokio::time::timeout(self.time, release).await {
            Ok(Ok(true)) => tracing::info!(epoch = tenure.epoch, "lease released"),
            Ok(Ok(false)) => tracing::info!(epoch = tenure.epoch, "lease was lost already"),
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "can't release the lease, it will expire"),
            Err(_) => tracing::warn!("can't release the lease in time, it will expire"),
        }
    }
}
