//! The lease of one email, while its dialogue runs. The database decides whose the email is, by the token of the claim: no
//! clock of this process has a say in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runtime::mysql::Pool;
use runtime::retry::Retry;
use runtime::telemetry::chain;

use crate::store::email_queue::{self, Held, Settled};

/// How long an email is kept from other senders if this one dies; it is prolonged while the email is under way.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// An email that this process has claimed.
#[derive(Debug)]
pub struct Hold {
    pool: Pool,
    held: Held,
    has_left: AtomicBool,
    is_lost: AtomicBool,
}

impl Hold {
    pub(super) fn new(pool: Pool, held: Held) -> Self {
        Self { pool, held, has_left: AtomicBool::new(false), is_lost: AtomicBool::new(false) }
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// Keeps the lease for as long as it is polled; returns when the email is another's.
    pub(super) async fn keep(&self) {
        loop {
            tokio::time::sleep(LEASE / 3).await;
            match email_queue::prolong(&self.pool, &self.held, LEASE).await {
                Ok(Settled::Yes) => {}
                Ok(Settled::LeaseLost) => return self.is_lost.store(true, Ordering::SeqCst),
                Err(error) => tracing::warn!(error = chain(&error), "email's lease can't be prolonged, trying again"),
            }
        }
    }

    /// Asked right before the content goes out: whether the email is still this sender's. A process that was frozen in the
    /// dialogue for longer than the lease must not send what another has sent meanwhile.
    pub(super) async fn let_go(&self) -> bool {
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(2));
        let is_held = loop {
            match self.is_held().await {
                Ok(is_held) => break is_held,
                Err(error) => tracing::warn!(error = chain(&error), "email's lease can't be read, trying again"),
            }
            tokio::time::sleep(retry.next_delay()).await;
        };
        let outcome = if is_held { &self.has_left } else { &self.is_lost };
        outcome.store(true, Ordering::SeqCst);
        is_held
    }

    /// A lease that has ended is taken back, if nobody else has begun.
    async fn is_held(&self) -> sqlx::Result<bool> {
        let holds = email_queue::is_held(&self.pool, &self.held).await?;
        Ok(holds || email_queue::prolong(&self.pool, &self.held, LEASE).await? == Settled::Yes)
    }

    /// Whether the content went out: the transport may have taken the email, whatever it said.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::SeqCst)
    }

    /// Whether the email is known to be another's.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }
}
