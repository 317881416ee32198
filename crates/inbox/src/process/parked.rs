//! Parking events, and trying those that are due.
//!
//! Guarantees that an event is parked only while its gate, which is held, stands before it, so that whoever moves the gate
//! finds it; and that a parked event that can't have its effect ends in `inbox_dead`, whole. It costs no other event
//! anything: the broker has its answer already.

use std::time::Duration;

use runtime::mysql::{self, Transaction, is_data_fault};
use runtime::telemetry::chain;

use super::fault::{LATER_PAUSE, is_own_fault, pause};
use super::plan::Plan;
use super::tally::Unparked;
use super::turn::{self, Turn};
use super::{Inbox, Process};
use crate::event::Content;
use crate::handler::{Applied, Handler};
use crate::message::Claimed;
use crate::outcome::Outcome;
use crate::store::inbox_due::{self, Due};
use crate::store::inbox_parked::{self, Parked};
use crate::store::{Receipt, inbox_dead, inbox_gate};

/// An aggregate that somebody has locked is tried again after this.
const LOCKED_PAUSE: Duration = Duration::from_secs(10);
/// Of one statement, as text: the server's limit is 1 MiB at least, unless somebody lowered it.
const STATEMENT_BYTES_MAX: usize = 256 * 1024;
/// Events that are tried before the table is read again.
const DUE_MAX: u32 = 64;

impl<H: Handler> Process<H> {
    /// Tries what is due, and says whether there was anything.
    ///
    /// # Errors
    /// A fault of the database; what was committed before it stays.
    pub async fn resume(&self) -> sqlx::Result<bool> {
        let due = inbox_due::due(&self.inbox.pool, &self.inbox.source, DUE_MAX).await?;
        for one in &due {
            match self.resume_one(*one).await {
                // Somebody has its aggregate locked: the others need not wait for that.
                Err(error) if mysql::is_lock_wait(&error) => {
                    tracing::warn!(event.id = %one.event_id, "the aggregate of a parked event is locked, trying others first");
                    inbox_due::postpone(&self.inbox.pool, &self.inbox.source, one.event_id, LOCKED_PAUSE).await?;
                }
                resumed => resumed?,
            }
        }
        Ok(!due.is_empty())
    }

    /// First with those that follow; if that is refused, alone.
    async fn resume_one(&self, due: Due) -> sqlx::Result<()> {
        let (inbox, mut refused) = (&self.inbox, None);
        for room in [self.limit.now(), 0] {
            let mut tx = self.inbox.pool.begin().await?;
            match inbox.resume(&mut tx, due, room).await {
                Ok(Some(unparked)) => {
                    tx.commit().await?;
                    self.tally.add(unparked);
                    return Ok(());
                }
                Ok(None) => {}
                Err(error) if is_own_fault(&error) => refused = Some(error),
                Err(error) => return Err(error),
            }
            tx.rollback().await?;
        }
        match refused {
            Some(error) => self.refuse(due, &error).await,
            // The service can't write it yet, or what has its key is about to show: without a pause it would be tried
            // again at once.
            None => inbox_due::postpone(&inbox.pool, &inbox.source, due.event_id, LATER_PAUSE).await,
        }
    }

    /// Counts an attempt, or gives the event up.
    async fn refuse(&self, due: Due, error: &sqlx::Error) -> sqlx::Result<()> {
        let mut tx = self.inbox.pool.begin().await?;
        inbox_gate::hold(&mut tx, &self.inbox.source, due.aggregate_id).await?;
        let Some(parked) = inbox_due::open(&mut tx, &self.inbox.source, due.event_id).await? else {
            return tx.rollback().await;
        };
        let attempts = parked.attempts + 1;
        let outcome = if is_data_fault(error) || attempts >= self.attempts_max {
            self.inbox.never(&mut tx, &parked, &format!("failed at attempt {attempts}: {}", chain(error))).await?;
            Outcome::Dead
        } else {
            tracing::warn!(error = chain(error), attempts, "effect of a parked event refused, trying again");
            inbox_due::put_off(&mut tx, &self.inbox.source, due.event_id, pause(attempts)).await?;
            Outcome::Failed
        };
        tx.commit().await?;
        self.tally.add(Unparked { outcomes: vec![(outcome, parked.message.stored_at)], has_due: false });
        Ok(())
    }
}

impl<H: Handler> Inbox<H> {
    /// Parks the early events of a batch: all, or none if a gate does not stand where it was believed to, or an event is
    /// better parked alone.
    pub(super) async fn park_all(&self, tx: &mut Transaction, plan: &Plan<'_, H::Effect>) -> sqlx::Result<Receipt> {
        let aggregates: Vec<_> = plan.waits.keys().copied().collect();
        inbox_gate::hold_all(tx, &self.source, &aggregates).await?;
        let gates = inbox_gate::versions(&mut *tx, &self.source, &aggregates).await?;
        if gates.iter().any(|(aggregate_id, version)| plan.waits.get(aggregate_id) != Some(version)) {
            return Ok(Receipt::Duplicate);
        }
        let early: Vec<_> = plan.early().map(|(message, work)| (&work.event, message)).collect();
        let mut rest = &early[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|(_, message)| {
                bytes += message.bytes();
                2 * bytes <= STATEMENT_BYTES_MAX
            });
            let fits = fits.count();
            if fits == 0 || inbox_parked::park_all(tx, &self.source, &rest[..fits]).await? == Receipt::Duplicate {
                return Ok(Receipt::Duplicate);
            }
            rest = &rest[fits..];
        }
        Ok(Receipt::First)
    }

    /// None, and the caller rolls back, if a key is taken that should not be, or an effect can't be written yet.
    async fn resume(&self, tx: &mut Transaction, due: Due, room: usize) -> sqlx::Result<Option<Unparked>> {
        let source = &self.source;
        let stands_at = inbox_gate::hold(tx, source, due.aggregate_id).await?;
        let Some(parked) = inbox_due::open(tx, source, due.event_id).await? else {
            return Ok(Some(Unparked::default()));
        };
        let done = |outcome| Unparked { outcomes: vec![(outcome, parked.message.stored_at)], has_due: false };
        let work = match self.read(&parked.message) {
            Content::Event(work) => work,
            Content::Foreign => return Ok(None),
            Content::Dead(reason) => {
                self.never(tx, &parked, &reason).await?;
                return Ok(Some(done(Outcome::Dead)));
            }
        };
        match self.turn(tx, &work.event, stands_at).await? {
            Turn::Next => {
                inbox_parked::remove_all(tx, source, &[due.event_id]).await?;
                if self.effect(tx, &work, parked.message.stream_sequence, stands_at).await? != Applied::Done {
                    return Ok(None);
                }
                let mut unparked = done(work.applied());
                let step = turn::step(&work.event, stands_at);
                let Some(more) = self.unpark(tx, step.as_slice(), room).await? else { return Ok(None) };
                unparked.outcomes.extend(more.outcomes);
                Ok(Some(Unparked { has_due: more.has_due, ..unparked }))
            }
            Turn::Early => inbox_due::rest(tx, source, due.event_id).await.map(|()| Some(Unparked::default())),
            Turn::Duplicate => {
                inbox_parked::remove_all(tx, source, &[due.event_id]).await.map(|()| Some(Unparked::default()))
            }
            Turn::Never(outcome, reason) => {
                self.never(tx, &parked, &reason).await?;
                Ok(Some(done(outcome)))
            }
        }
    }

    /// Moves a parked event to `inbox_dead`.
    async fn never(&self, tx: &mut Transaction, parked: &Parked, reason: &str) -> sqlx::Result<()> {
        inbox_dead::keep(tx, &self.source, &parked.message, reason).await?;
        inbox_parked::remove_all(tx, &self.source, &[parked.event_id]).await?;
        let Claimed { event_type, aggregate_id, version, .. } = Claimed::by(&parked.message.headers);
        tracing::error!(
            event.id = %parked.event_id,
            event.r#type = event_type,
            aggregate.id = aggregate_id,
            aggregate.version = version,
            "parked event is dead; see the verb `message list`"
        );
        Ok(())
    }
}
