//! The email queue: claims what is due, sends it, settles it.
//!
//! Guarantees that an email is sent at least once or ends `dead` with its last error, and that two senders hold the same
//! email only if one lost its lease. Each email under way is a task of its own that keeps its lease for as long as its
//! dialogue takes, and those that hang leave room for others. A crash between the transport's yes and the settlement repeats
//! the emails under way, [`UNDER_WAY_MAX`] at most and [`SLOW_MAX`] more while some hang, with the same Message-ID, when
//! their leases have ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::mysql::Transaction;
use runtime::retry::Retry;
use runtime::telemetry::chain;
use schema::ids::NotificationId;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use super::delivery::Delivery;
use super::gauges;
use super::hold::{Hold, LEASE};
use super::sender::{Queue, REFUSED_DELAY, Sender, UNDER_WAY_MAX};
use super::standing::{Pace, Standing};
use crate::store::email_queue::{self, Claim, DueEmail, Held};

/// Emails on their way beside them while as many hang: minutes may pass until those are given up.
pub const SLOW_MAX: usize = 4;
/// An email that is under way for so long hangs; others for its recipient are passed over.
const SLOW: Duration = Duration::from_secs(5);
/// Of them, emails that were put off before: those that hang leave room for the others.
const RETRIES_MAX: usize = 4;
const POLL: Duration = Duration::from_secs(1);
/// Emails that come, or are done, this close together are claimed together: a claim is a commit, and takes the disk from
/// the next order.
const GATHER: Duration = Duration::from_millis(50);
/// Between searches for emails that a stepped clock left far in the future, and between samples for the gauges.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
/// Emails that one claim puts aside for their recipient.
const PASSED_OVER_MAX: u32 = 100;

/// Since when, to whom, and whether alone, to tell how the server is.
type Dialogues = HashMap<NotificationId, (Instant, String, bool)>;

/// The emails under way.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<Begun>,
    dialogues: Dialogues,
    retries: usize,
}

/// How an email began its way.
#[derive(Clone, Copy)]
struct Begun {
    id: NotificationId,
    is_retry: bool,
}

/// How many emails a claim may take.
#[derive(Clone, Copy)]
struct Room {
    free: usize,
    retries: usize,
    is_probe: bool,
}

/// A claim in the making.
struct Claiming<'a> {
    claim: &'a Claim,
    under_way: &'a Dialogues,
    claimed: Claimed,
}

/// What a claim found.
#[derive(Default)]
struct Claimed {
    emails: Vec<DueEmail>,
    /// Emails put off because their recipient is passed over, or because their lease has just ended.
    passed_over: usize,
}

impl Queue {
    /// Sends until the stop; what is on its way then is finished, or given up after some seconds.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn run(self) -> anyhow::Result<()> {
        let sender = Arc::new(Sender { queue: self, standing: Standing::new() });
        let shutdown = sender.queue.shutdown.clone();
        let mut under_way = UnderWay::default();
        let mut retry = Retry::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut clock_checked_at: Option<Instant> = None;
        while !shutdown.is_cancelled() {
            let round = async {
                if clock_checked_at.is_none_or(|at| at.elapsed() > CLOCK_CHECK) {
                    email_queue::bring_back(&sender.queue.pool, LEASE, REFUSED_DELAY.1).await?;
                    gauges::sample(&sender.queue).await?;
                    clock_checked_at = Some(Instant::now());
                }
                sender.round(&mut under_way).await
            };
            match round.await {
                // Others may be due behind those that were put off.
                Ok(claimed) if claimed.emails.is_empty() && claimed.passed_over > 0 => {}
                Ok(_) => {
                    retry.reset();
                    sender.wait(&mut under_way).await;
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "email queue can't be read, trying again");
                    // Stopped means that the loop's condition ends it.
                    retry.wait(&shutdown).await.ok();
                }
            }
        }
        under_way.all_ended().await;
        Ok(())
    }
}

impl Sender {
    /// Waits until there may be something to begin.
    async fn wait(&self, under_way: &mut UnderWay) {
        let longest = match self.standing.pace() {
            Pace::PausedUntil(resume_at) => resume_at.saturating_duration_since(Instant::now()).min(POLL),
            Pace::Full | Pace::Probe => POLL,
        };
        let is_full = under_way.tasks.len() >= UNDER_WAY_MAX;
        tokio::select! {
            () = self.queue.wake.notified(), if !is_full => tokio::time::sleep(GATHER).await,
            Some(ended) = under_way.tasks.join_next() => {
                under_way.ended(ended);
                // Late ones are not waited for; each stays in the set.
                drop(tokio::time::timeout(GATHER, under_way.all_ended()).await);
            }
            () = self.queue.shutdown.cancelled() => {}
            () = tokio::time::sleep(longest) => {}
        }
    }

    /// Begins what may begin now.
    async fn round(self: &Arc<Self>, under_way: &mut UnderWay) -> sqlx::Result<Claimed> {
        let pace = self.standing.pace();
        let slow = under_way.slow();
        let free = (UNDER_WAY_MAX + slow.len().min(SLOW_MAX)).saturating_sub(under_way.tasks.len());
        for recipient in slow {
            self.standing.pass_over(recipient, SLOW);
        }
        let free = match pace {
            Pace::Full => free,
            Pace::Probe if under_way.is_probing() => 0,
            Pace::Probe => free.min(1),
            Pace::PausedUntil(_) => 0,
        };
        if free == 0 {
            return Ok(Claimed::default());
        }
        let retries = RETRIES_MAX.saturating_sub(under_way.retries).min(free);
        let room = Room { free, retries, is_probe: pace == Pace::Probe };
        let claim = Claim::new();
        let mut claimed = self.queue.pool.in_time(self.claim(&claim, room, &under_way.dialogues)).await?;
        let emails = std::mem::take(&mut claimed.emails);
        claimed.passed_over = if emails.is_empty() { claimed.passed_over } else { 0 };
        for email in emails {
            let begun = Begun { id: email.id, is_retry: email.is_retry() };
            under_way.dialogues.insert(email.id, (Instant::now(), email.recipient.clone(), room.is_probe));
            let span = tracing::info_span!("email.send", notification.id = %email.id, order.id = %email.order_id);
            let hold = Hold::new(self.queue.pool.clone(), Held::new(&email, &claim));
            let delivery = Delivery { sender: Arc::clone(self), email, hold };
            under_way.begin(begun, delivery.run().instrument(span));
        }
        Ok(claimed)
    }

    /// Takes the leases of what is due, in one transaction.
    async fn claim(&self, claim: &Claim, room: Room, under_way: &Dialogues) -> sqlx::Result<Claimed> {
        let passes_over = self.standing.passes_over();
        let rows_max = |wanted: usize| if passes_over { PASSED_OVER_MAX } else { wanted as u32 };
        let mut claiming = Claiming { claim, under_way, claimed: Claimed::default() };
        let mut tx = self.queue.pool.begin().await?;
        if room.is_probe {
            // The newest first: behind many emails that fail there may be no other end to begin at.
            let newest = email_queue::due_newest(&mut tx, rows_max(room.free)).await?;
            self.take(&mut tx, newest, room.free, &mut claiming).await?;
        }
        let retries = if claiming.claimed.emails.is_empty() { room.retries } else { 0 };
        if retries > 0 {
            let again = email_queue::due(&mut tx, true, rows_max(retries)).await?;
            self.take(&mut tx, again, retries, &mut claiming).await?;
        }
        let left = room.free.saturating_sub(claiming.claimed.emails.len());
        if !room.is_probe && left > 0 {
            let first = email_queue::due(&mut tx, false, rows_max(left)).await?;
            self.take(&mut tx, first, room.free, &mut claiming).await?;
        }
        tx.commit().await?;
        Ok(claiming.claimed)
    }

    /// Leases emails until so many are claimed, and puts off those whose recipient is passed over. Whoever holds an email
    /// whose lease has ended is dead, or the database's clock has stepped ahead: a living one has as long as a lease to take it
    /// back before anybody else does.
    async fn take(
        &self,
        tx: &mut Transaction,
        due: Vec<DueEmail>,
        emails_max: usize,
        claiming: &mut Claiming<'_>,
    ) -> sqlx::Result<()> {
        let Claiming { claim, under_way, claimed } = claiming;
        for email in due {
            if email.is_claimed {
                email_queue::contest(tx, email.id, LEASE).await?;
                claimed.passed_over += 1;
            } else if under_way.contains_key(&email.id) {
                // Its delivery has settled it and is about to end, or a clock's step took its claim: never beside itself.
                email_queue::contest(tx, email.id, POLL).await?;
                claimed.passed_over += 1;
            } else if let Some(left) = self.standing.passed_over(&email.recipient) {
                email_queue::pass_over(tx, email.id, left).await?;
                claimed.passed_over += 1;
            } else if claimed.emails.len() < emails_max {
                email_queue::lease(tx, email.id, claim, LEASE).await?;
                claimed.emails.push(email);
            }
        }
        Ok(())
    }
}

impl UnderWay {
    fn begin(&mut self, begun: Begun, delivery: impl Future<Output = ()> + Send + 'static) {
        self.retries += usize::from(begun.is_retry);
        self.tasks.spawn(async move {
            delivery.await;
            begun
        });
    }

    /// Takes leave of one.
    ///
    /// # Panics
    /// If it panicked.
    fn ended(&mut self, ended: Result<Begun, JoinError>) {
        let begun = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.dialogues.remove(&begun.id);
        self.retries -= usize::from(begun.is_retry);
    }

    /// Recipients of emails that hang, one for each.
    fn slow(&self) -> Vec<&str> {
        let slow = self.dialogues.values().filter(|(since, ..)| since.elapsed() > SLOW);
        slow.map(|(_, recipient, _)| recipient.as_str()).collect()
    }

    /// Whether a probe is under way that may still tell something soon: one that hangs leaves it to the next.
    fn is_probing(&self) -> bool {
        self.dialogues.values().any(|(since, _, is_probe)| *is_probe && since.elapsed() <= SLOW)
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended);
        }
    }
}
