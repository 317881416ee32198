//! One email under way: its turn, the dialogue, what the answer means, the settlement.
//!
//! The lease is kept while the dialogue runs; whoever lost it hangs up and settles nothing, unless the transport took the email. A crash between the
//! transport's yes and the settlement leaves the email to the lease's end: it is sent again, with the same Message-ID
//! (`a_kill_repeats_no_more_emails_than_were_under_way_each_with_its_message_id`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::mysql::Pool;
use runtime::retry::Retry;
use runtime::telemetry::chain;

use super::hold::{Hold, LEASE};
use super::send_error::SendError;
use super::sender::{REFUSED_DELAY, Sender, UNDER_WAY_MAX};
use super::standing::PAUSE;
use crate::metrics::EmailAttempt;
use crate::store::email_queue::{self, DueEmail, Held, Settled};
use crate::store::email_settlement::{self, Again};

const SETTLE_TIME_MAX: Duration = Duration::from_secs(10);
/// After the stop began, until a dialogue is given up.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(6);
/// Between tries of one email at which the server fails, without an attempt spent.
const PUT_OFF_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

const _: () = assert!(
    LEASE.as_secs() > UNDER_WAY_MAX as u64 + SETTLE_TIME_MAX.as_secs(),
    "an email waits for its turn, and is settled, within its lease"
);

pub(super) struct Delivery {
    pub(super) sender: Arc<Sender>,
    pub(super) email: DueEmail,
    pub(super) hold: Hold,
}

/// How a dialogue began.
#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    /// Whether another email has gone through since one for its recipient failed.
    has_witness: bool,
}

/// What is written about an email.
enum Settlement {
    Sent,
    /// Spends an attempt.
    Refused(Duration, String),
    /// Spends the last attempt.
    Dead(String),
    /// Spends none; the email is tried again by itself.
    PutOff(Duration, String),
    /// Untried, as far as this email goes.
    Release(Duration, Option<String>),
}

impl Delivery {
    /// Sends the email and settles it.
    pub(super) async fn run(self) {
        let queue = &self.sender.queue;
        if queue.shutdown.run_until_cancelled(queue.rate.turn()).await.is_none() {
            return self.settle(&Settlement::Release(Duration::ZERO, None)).await;
        }
        let begun = Begun { at: Instant::now(), has_witness: self.sender.standing.has_witness(&self.email.recipient) };
        let ended = tokio::select! {
            sent = queue.mailer.send(&self.email, &self.hold) => Some(sent),
            () = self.hold.keep() => None,
            () = self.stopped() => None,
        };
        let (attempt, settlement) = match ended {
            Some(Ok(())) => self.judge(Ok(()), begun),
            _ if self.hold.is_lost() => return tracing::warn!("email's lease was lost, another sender has it"),
            Some(sent) => self.judge(sent, begun),
            None => self.give_up(),
        };
        queue.metrics.emailed(attempt);
        queue.metrics.email_transport_up.set(i64::from(self.sender.standing.is_up()));
        self.settle(&settlement).await;
        if attempt == EmailAttempt::Sent {
            self.hasten_others(begun.at).await;
        }
    }

    /// The server takes emails: what it refused before is told from what it refuses now while that is certain.
    async fn hasten_others(&self, taken_at: Instant) {
        let queue = &self.sender.queue;
        let waiting = self.sender.standing.waiting(taken_at);
        if waiting.is_empty() {
            return;
        }
        match email_queue::hasten(&queue.pool, &waiting).await {
            Ok(()) => queue.wake.notify_one(),
            // They are tried again in their time.
            Err(error) => tracing::warn!(error = chain(&error), "emails that were put off can't be tried at once"),
        }
    }

    async fn stopped(&self) {
        self.sender.queue.shutdown.cancelled().await;
        tokio::time::sleep(STOP_TIME_MAX).await;
    }

    /// The process can't wait for the answer.
    fn give_up(&self) -> (EmailAttempt, Settlement) {
        if self.hold.has_left() {
            return self
                .spend(EmailAttempt::Unknown, "the sender was stopped before the server had answered".to_owned());
        }
        (EmailAttempt::Unreachable, Settlement::Release(Duration::ZERO, None))
    }

    fn judge(&self, sent: Result<(), SendError>, begun: Begun) -> (EmailAttempt, Settlement) {
        let (standing, mailer) = (&self.sender.standing, &self.sender.queue.mailer);
        let recipient = &self.email.recipient;
        let error = match sent {
            Ok(()) => {
                if standing.taken(recipient, begun.at) {
                    tracing::info!("email transport takes emails again");
                }
                return (EmailAttempt::Sent, Settlement::Sent);
            }
            Err(error) => error,
        };
        let reason = chain(&error);
        match error {
            SendError::Unreachable(_) => {
                tracing::warn!(error = reason, "email waits for its transport");
                mailer.forget_connections();
                standing.unreachable();
                // Behind the others: an email that hangs its server must not be the only one that is ever tried.
                (EmailAttempt::Unreachable, Settlement::Release(PAUSE.0, Some(reason)))
            }
            SendError::Unclear(_) if begun.has_witness => self.pay(EmailAttempt::Refused, reason),
            SendError::Unclear(_) => self.put_off(EmailAttempt::Unreachable, reason),
            SendError::Unknown(_) => {
                mailer.forget_connections();
                // Dead by its last attempt in any case: the recipient may have as many copies.
                let (attempt, settlement) = self.spend(EmailAttempt::Unknown, reason);
                standing.unclear(recipient, settlement.delay(), None);
                (attempt, settlement)
            }
            SendError::Refused(_) if begun.has_witness => self.pay(EmailAttempt::Refused, reason),
            SendError::Refused(_) if !self.is_last_attempt() => self.spend(EmailAttempt::Refused, reason),
            SendError::Rejected(_) if begun.has_witness => self.dead(reason),
            // What several are refused for is the server's fault, and so may be what one is refused for while there is no other:
            // it waits until another one goes through, or a person decides.
            SendError::Refused(_) | SendError::Rejected(_) => self.put_off(EmailAttempt::Refused, reason),
            SendError::Invalid(_) => self.dead(reason),
        }
    }

    /// Spends an attempt, or the email's last one; its recipient is passed over meanwhile.
    fn pay(&self, attempt: EmailAttempt, reason: String) -> (EmailAttempt, Settlement) {
        self.sender.queue.mailer.forget_connections();
        let (attempt, settlement) = self.spend(attempt, reason);
        self.sender.standing.pass_over(&self.email.recipient, settlement.delay());
        (attempt, settlement)
    }

    /// Whose fault it is others decide: no attempt is spent, and the next email goes alone.
    fn put_off(&self, attempt: EmailAttempt, reason: String) -> (EmailAttempt, Settlement) {
        self.sender.queue.mailer.forget_connections();
        let (first, longest) = PUT_OFF_DELAY;
        // A second at least, so that others are tried first.
        let delay = first + Retry::delay_after(first, longest, self.email.put_off + 1);
        self.sender.standing.unclear(&self.email.recipient, delay, Some(self.email.id));
        tracing::warn!(
            put_off = self.email.put_off + 1,
            "email server failed at an email, it is put off; see notifications.last_error"
        );
        (attempt, Settlement::PutOff(delay, reason))
    }

    fn is_last_attempt(&self) -> bool {
        self.email.attempts + 1 >= self.sender.queue.attempts_max
    }

    fn spend(&self, attempt: EmailAttempt, reason: String) -> (EmailAttempt, Settlement) {
        if self.is_last_attempt() {
            return self.dead(reason);
        }
        let attempts = self.email.attempts + 1;
        tracing::warn!(attempts, "email was not taken, trying again later; see notifications.last_error");
        let (first, longest) = REFUSED_DELAY;
        (attempt, Settlement::Refused(Retry::delay_after(first, longest, attempts), reason))
    }

    /// A server's refusal may quote the address: it stays in the row.
    fn dead(&self, reason: String) -> (EmailAttempt, Settlement) {
        tracing::error!(attempts = self.email.attempts + 1, "email is dead; see notifications.last_error");
        (EmailAttempt::Dead, Settlement::Dead(reason))
    }

    /// Writes the outcome, trying again while the database is away; after that the lease decides.
    async fn settle(&self, settlement: &Settlement) {
        let pool = &self.sender.queue.pool;
        let written = async {
            let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(2));
            loop {
                match settlement.write(pool, &self.email, self.hold.held()).await {
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

impl Settlement {
    async fn write(&self, pool: &Pool, email: &DueEmail, held: &Held) -> sqlx::Result<Settled> {
        let (attempts, put_off) = (email.attempts, email.put_off);
        let again = match self {
            Self::Sent => return email_settlement::sent(pool, email.id).await,
            Self::Dead(error) => return email_settlement::dead(pool, held, error).await,
            Self::Refused(delay, error) => {
                Again { delay: *delay, attempts: attempts + 1, put_off: 0, error: Some(error) }
            }
            Self::PutOff(delay, error) => Again { delay: *delay, attempts, put_off: put_off + 1, error: Some(error) },
            Self::Release(delay, error) => Again { delay: *delay, attempts, put_off, error: error.as_deref() },
        };
        email_settlement::again(pool, held, again).await
    }

    fn delay(&self) -> Duration {
        match self {
            Self::Refused(delay, _) | Self::PutOff(delay, _) | Self::Release(delay, _) => *delay,
            Self::Sent | Self::Dead(_) => Duration::ZERO,
        }
    }
}
