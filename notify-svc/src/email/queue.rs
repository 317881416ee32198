//! The email queue: claims what is due, sends it, settles it.
//!
//! Guarantees that an email is sent at least once or ends `dead` with its last error, and that two senders hold the same
//! email only if one outlived its lease. A transport that is not there spends no attempt: its emails go back to the end
//! of the queue and the queue pauses, with backoff, probing with one email at a time. A crash between the transport's
//! yes and the settlement repeats one email, with the same Message-ID, when its lease ends.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use runtime::mysql::Pool;
use runtime::retry::Retry;
use runtime::telemetry::chain;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Mailer, Rate, SEND_TIME_MAX, SendError};
use crate::metrics::{EmailAttempt, Metrics};
use crate::store::email_queue::{self, Claim, DueEmail, Settled};

/// Emails in one claim; all of them are on their way at once. More would have to wait for each other within the lease, and
/// what a killed sender held waits for the lease's end.
const CLAIM_MAX: u32 = 8;
/// A claim is sent at once, or as slowly as the rate of one a second makes it; the rest of the lease is for settling.
const LEASE: Duration = Duration::from_secs(35);
const SETTLE_TIME_MAX: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_secs(1);
/// Emails that come this close together are claimed together: a claim is a commit, and takes the disk from the next order.
const GATHER: Duration = Duration::from_millis(50);
/// Between attempts of one email that the server refuses: the eighth comes after about an hour.
const REFUSED_DELAY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));
/// Between probes of a transport or a database that is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

const _: () = assert!(
    LEASE.as_secs() >= CLAIM_MAX as u64 + SEND_TIME_MAX.as_secs() + SETTLE_TIME_MAX.as_secs(),
    "a claim must be sent and settled within its lease"
);

/// The sender of this process.
#[derive(Debug)]
pub struct Queue {
    /// The database `notifications`.
    pub pool: Pool,
    /// Takes the emails away.
    pub mailer: Mailer,
    /// Refusals before an email is dead.
    pub attempts_max: u32,
    /// How fast they go.
    pub rate: Rate,
    /// Woken after a commit that made emails; carries nothing and may be lost, for the queue polls too.
    pub wake: Arc<Notify>,
    /// What is counted.
    pub metrics: Metrics,
    /// The stop of the process.
    pub shutdown: CancellationToken,
}

/// How a claim went.
enum Round {
    /// Nothing was due.
    Idle,
    /// The transport answered, yes or no.
    Worked,
    /// The transport is not there, or the process is stopping.
    Interrupted,
}

impl Queue {
    /// Sends until the stop; what is on its way then is finished.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut pause = Retry::new(PAUSE.0, PAUSE.1);
        let mut claim_max = CLAIM_MAX;
        while !self.shutdown.is_cancelled() {
            match self.round(claim_max).await {
                Ok(Round::Idle) => self.wait().await,
                Ok(Round::Worked) => {
                    claim_max = CLAIM_MAX;
                    pause.reset();
                    continue;
                }
                Ok(Round::Interrupted) => {
                    claim_max = 1;
                    // Stopped means that the loop's condition ends it.
                    pause.wait(&self.shutdown).await.ok();
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "email queue can't be read, trying again");
                    pause.wait(&self.shutdown).await.ok();
                }
            }
        }
        Ok(())
    }

    async fn wait(&self) {
        tokio::select! {
            () = self.wake.notified() => tokio::time::sleep(GATHER).await,
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }

    async fn round(&self, claim_max: u32) -> sqlx::Result<Round> {
        let claim = Claim::new();
        let emails = self.pool.in_time(self.claim(&claim, claim_max)).await?;
        if emails.is_empty() {
            return Ok(Round::Idle);
        }
        let interrupted = CancellationToken::new();
        join_all(emails.iter().map(|email| {
            let span = tracing::info_span!("email.send", notification.id = %email.id, order.id = %email.order_id);
            self.deliver(email, &claim, &interrupted).instrument(span)
        }))
        .await;
        Ok(if interrupted.is_cancelled() { Round::Interrupted } else { Round::Worked })
    }

    /// Takes the lease of what is due, in one transaction.
    async fn claim(&self, claim: &Claim, claim_max: u32) -> sqlx::Result<Vec<DueEmail>> {
        let mut tx = self.pool.begin().await?;
        let emails = email_queue::due(&mut tx, claim_max).await?;
        for email in &emails {
            email_queue::lease(&mut tx, email.id, claim, LEASE).await?;
        }
        tx.commit().await?;
        Ok(emails)
    }

    /// Sends one email and settles it; gives it back untried once `interrupted`.
    async fn deliver(&self, email: &DueEmail, claim: &Claim, interrupted: &CancellationToken) {
        let turn = self.shutdown.run_until_cancelled(self.rate.turn()).await;
        if turn.is_none() || interrupted.is_cancelled() {
            interrupted.cancel();
            return self.settle(email, claim, &Settlement::Release(Duration::ZERO)).await;
        }
        let settlement = match self.mailer.send(email).await {
            Ok(()) => Settlement::Sent,
            Err(error) => self.judge(email, &error, interrupted),
        };
        self.metrics.emailed(settlement.attempt());
        self.settle(email, claim, &settlement).await;
    }

    fn judge(&self, email: &DueEmail, error: &SendError, interrupted: &CancellationToken) -> Settlement {
        let attempts = email.attempts + 1;
        match error {
            SendError::Unreachable(_) => {
                tracing::warn!(error = chain(error), "email waits for its transport");
                interrupted.cancel();
                // Behind the others: an email that hangs its server must not be the only one that is ever tried.
                Settlement::Release(PAUSE.0)
            }
            SendError::Refused(_) if attempts < self.attempts_max => {
                let (first, longest) = REFUSED_DELAY;
                tracing::warn!(attempts, "email was refused, trying again later");
                Settlement::Refused(Retry::delay_after(first, longest, attempts), chain(error))
            }
            SendError::Refused(_) | SendError::Rejected(_) | SendError::Invalid(_) => {
                // A server's refusal may quote the address: it stays in the row.
                tracing::error!(attempts, "email is dead; see notifications.last_error");
                Settlement::Dead(chain(error))
            }
        }
    }

    /// Writes the outcome, trying again while the database is away; after that the lease decides.
    async fn settle(&self, email: &DueEmail, claim: &Claim, settlement: &Settlement) {
        let written = async {
            let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(2));
            loop {
                match settlement.write(&self.pool, email, claim).await {
                    Ok(settled) => return settled,
                    Err(error) => tracing::warn!(error = chain(&error), "settling an email failed, trying again"),
                }
                tokio::time::sleep(retry.next_delay()).await;
            }
        };
        match tokio::time::timeout(SETTLE_TIME_MAX, written).await {
            Ok(Settled::Yes) => {}
            Ok(Settled::LeaseLost) => tracing::warn!("email's lease ended before it was settled"),
            Err(_) => tracing::warn!("email could not be settled; it is tried again when its lease ends"),
        }
    }
}

/// What is written about an email.
enum Settlement {
    Sent,
    Refused(Duration, String),
    Dead(String),
    Release(Duration),
}

impl Settlement {
    async fn write(&self, pool: &Pool, email: &DueEmail, claim: &Claim) -> sqlx::Result<Settled> {
        match self {
            Self::Sent => email_queue::sent(pool, email.id, claim).await,
            Self::Refused(delay, error) => email_queue::refused(pool, email.id, claim, *delay, error).await,
            Self::Dead(error) => email_queue::dead(pool, email.id, claim, error).await,
            Self::Release(delay) => email_queue::release(pool, email.id, claim, *delay).await,
        }
    }

    const fn attempt(&self) -> EmailAttempt {
        match self {
            Self::Sent => EmailAttempt::Sent,
            Self::Refused(..) => EmailAttempt::Refused,
            Self::Dead(_) => EmailAttempt::Dead,
            Self::Release(_) => EmailAttempt::Unreachable,
        }
    }
}
