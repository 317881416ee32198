//! The lease of one effect, while its attempt runs. The database decides whose the effect is, by the token of the claim: no
//! clock of this process has a say in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::mysql::Pool;
use runtime::retry::Retry;
use runtime::telemetry::chain;

use crate::standing::Standing;
use crate::store::claim::{Held, Settled};
use crate::store::queue;

/// How long an effect is kept from other processes if this one dies; it is prolonged while the effect is under way.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// An effect that this process has claimed.
#[derive(Debug)]
pub struct Hold {
    pool: Pool,
    held: Held,
    standing: Arc<Standing>,
    party: Mutex<Party>,
    has_left: AtomicBool,
    is_lost: AtomicBool,
}

/// Whose effect it is.
#[derive(Debug)]
struct Party {
    name: String,
    /// See [`Standing::has_witness`].
    has_witness: bool,
}

impl Hold {
    pub(crate) fn new(pool: Pool, held: Held, standing: Arc<Standing>, subject: &str) -> Self {
        let party = Mutex::new(Party { name: standing.party_of(held.id, subject), has_witness: false });
        Self { pool, held, standing, party, has_left: AtomicBool::new(false), is_lost: AtomicBool::new(false) }
    }

    /// Says whose effect it is, before the other side is asked: effects of one party are likely to fail together, such as those
    /// for one recipient, and don't hold up others. Without a call it is the effect's subject. The answer, if there is one, is for
    /// how long this party is still passed over: the attempt ends there, as [`crate::Attempt::PassedOver`].
    pub fn is_of(&self, party: &str) -> Option<Duration> {
        self.standing.is_of(self.held.id, party);
        self.whose().name = party.to_owned();
        self.begin();
        self.standing.passed_over(party)
    }

    /// An attempt begins.
    pub(crate) fn begin(&self) {
        let mut party = self.whose();
        party.has_witness = self.standing.has_witness(&party.name);
    }

    pub(crate) fn party(&self) -> String {
        self.whose().name.clone()
    }

    /// As it was when the attempt began.
    pub(crate) fn has_witness(&self) -> bool {
        self.whose().has_witness
    }

    /// What is under the lock is whole between any two statements.
    fn whose(&self) -> MutexGuard<'_, Party> {
        self.party.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Keeps the lease for as long as it is polled; returns when the effect is another's.
    pub(crate) async fn keep(&self) {
        loop {
            tokio::time::sleep(LEASE / 3).await;
            match queue::prolong(&self.pool, &self.held, LEASE).await {
                Ok(Settled::Yes) => {}
                Ok(Settled::ClaimLost) => return self.is_lost.store(true, Ordering::SeqCst),
                Err(error) => tracing::warn!(error = chain(&error), "effect's lease can't be prolonged, trying again"),
            }
        }
    }

    /// Asked right before what makes the effect happen goes out: whether it is still this process's. One that was frozen for
    /// longer than the lease must not do what another has done meanwhile: it ends its attempt, whose answer counts for nothing.
    /// From a yes on the effect may have happened. May be dropped.
    pub async fn let_go(&self) -> bool {
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(2));
        let is_held = loop {
            match self.is_held().await {
                Ok(is_held) => break is_held,
                Err(error) => tracing::warn!(error = chain(&error), "effect's lease can't be read, trying again"),
            }
            tokio::time::sleep(retry.next_delay()).await;
        };
        let outcome = if is_held { &self.has_left } else { &self.is_lost };
        outcome.store(true, Ordering::SeqCst);
        is_held
    }

    /// A lease that has ended is taken back, if nobody else has begun.
    async fn is_held(&self) -> sqlx::Result<bool> {
        let holds = queue::is_held(&self.pool, &self.held).await?;
        Ok(holds || queue::prolong(&self.pool, &self.held, LEASE).await? == Settled::Yes)
    }

    /// Whether it was let go: it may have happened, whatever the other side said.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::SeqCst)
    }

    /// Whether the effect is known to be another's.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }
}
