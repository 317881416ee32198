//! One message in one transaction: what a batch can't settle. The position is written in it, too.

use runtime::mysql::{Transaction, is_data_fault};
use runtime::telemetry::chain;
use uuid::Uuid;

use super::fault::{LATER_PAUSE, is_own_fault, pause};
use super::tally::Unparked;
use super::turn::{self, Turn};
use super::work::Entry;
use super::{Inbox, Process};
use crate::event::{Content, Work};
use crate::handler::{Applied, Handler};
use crate::message::Message;
use crate::outcome::Outcome;
use crate::position;
use crate::store::inbox_due::{self, Again};
use crate::store::{Receipt, inbox_dead};

impl<H: Handler> Process<H> {
    /// A value or an effect that the database refuses costs this message only.
    pub(super) async fn single(&self, reading: Uuid, entry: &Entry<H::Effect>) -> sqlx::Result<()> {
        let outcome = match &entry.content {
            Content::Event(work) => self.apply(reading, &entry.message, work).await?,
            Content::Foreign => self.pass_over(reading, &entry.message).await?,
            Content::Dead(reason) => self.keep_dead(reading, &entry.message, reason).await?,
        };
        entry.settle(outcome);
        Ok(())
    }

    async fn apply(&self, reading: Uuid, message: &Message, work: &Work<H::Effect>) -> sqlx::Result<Outcome> {
        let mut tx = self.inbox.pool.begin().await?;
        match self.inbox.settle(&mut tx, message, work).await {
            Ok(Some((outcome, unparked))) => {
                self.inbox.commit(tx, reading, message, outcome).await?;
                self.tally.add(unparked);
                Ok(outcome)
            }
            Ok(None) => {
                tx.rollback().await?;
                self.park_alone(reading, message, work, Outcome::Later).await
            }
            Err(error) if is_own_fault(&error) => {
                tx.rollback().await?;
                self.refused(reading, message, work, &error).await
            }
            Err(error) => Err(error),
        }
    }

    /// What the database may take later is parked until then; a value that it never takes is dead at once.
    async fn refused(
        &self,
        reading: Uuid,
        message: &Message,
        work: &Work<H::Effect>,
        error: &sqlx::Error,
    ) -> sqlx::Result<Outcome> {
        if is_data_fault(error) || self.attempts_max <= 1 {
            return self.keep_dead(reading, message, &format!("failed at attempt 1: {}", chain(error))).await;
        }
        tracing::warn!(error = chain(error), "effect refused; the event is parked and tried again");
        self.park_alone(reading, message, work, Outcome::Failed).await
    }

    async fn park_alone(
        &self,
        reading: Uuid,
        message: &Message,
        work: &Work<H::Effect>,
        outcome: Outcome,
    ) -> sqlx::Result<Outcome> {
        let mut tx = self.inbox.pool.begin().await?;
        self.inbox.hold(&mut tx, &work.event).await?;
        let outcome = self.inbox.park(&mut tx, message, work, outcome).await?;
        self.inbox.commit(tx, reading, message, outcome).await
    }

    async fn pass_over(&self, reading: Uuid, message: &Message) -> sqlx::Result<Outcome> {
        let tx = self.inbox.pool.begin().await?;
        self.inbox.commit(tx, reading, message, Outcome::Foreign).await
    }

    /// Keeps a message that can't be processed, whole.
    pub(crate) async fn keep_dead(&self, reading: Uuid, message: &Message, reason: &str) -> sqlx::Result<Outcome> {
        let mut tx = self.inbox.pool.begin().await?;
        self.inbox.keep(&mut tx, message, reason).await?;
        self.inbox.commit(tx, reading, message, Outcome::Dead).await
    }
}

impl<H: Handler> Inbox<H> {
    async fn commit(
        &self,
        mut tx: Transaction,
        reading: Uuid,
        message: &Message,
        outcome: Outcome,
    ) -> sqlx::Result<Outcome> {
        position::add(&mut tx, &self.source, reading, [(message, outcome)]).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    async fn keep(&self, tx: &mut Transaction, message: &Message, reason: &str) -> sqlx::Result<()> {
        if inbox_dead::keep(tx, &self.source, message, reason).await? == Receipt::First {
            // The reason may quote the message: it stays in the row.
            tracing::error!("message is dead; see the verb `message list`");
        }
        Ok(())
    }

    /// The gate comes first: it makes two processes that hold events of one aggregate queue up for it. What follows in the
    /// aggregate is made due, not applied: its fault would be taken for this message's. None, and the caller rolls back, if
    /// the effect can't be written yet.
    async fn settle(
        &self,
        tx: &mut Transaction,
        message: &Message,
        work: &Work<H::Effect>,
    ) -> sqlx::Result<Option<(Outcome, Unparked)>> {
        let event = &work.event;
        let stands_at = self.hold(tx, event).await?;
        let mut turn = self.turn_of_new(tx, event, stands_at).await?;
        let mut unparked = Unparked::default();
        if matches!(turn, Turn::Next) {
            match self.effect(tx, work, message.stream_sequence, stands_at).await? {
                Applied::Done => {
                    let follows = self.unpark(tx, turn::step(event, stands_at).as_slice(), 0).await?;
                    unparked.has_due = follows.is_some_and(|follows| follows.has_due);
                    return Ok(Some((work.applied(), unparked)));
                }
                Applied::Later => return Ok(None),
                // Recorded a moment ago, by who does not hold this gate: another event under its id, or no versions at all.
                Applied::Duplicate => turn = self.repeat(tx, event).await?.unwrap_or_else(turn::conflict),
            }
        }
        let outcome = match turn {
            Turn::Early => self.park(tx, message, work, Outcome::Early).await?,
            Turn::Never(outcome, reason) => {
                self.keep(tx, message, &reason).await?;
                outcome
            }
            Turn::Next | Turn::Duplicate => {
                tracing::debug!(deliveries = message.deliveries, "duplicate");
                Outcome::Applied(Receipt::Duplicate)
            }
        };
        Ok(Some((outcome, unparked)))
    }

    /// Parks an event under the lock of its gate, whole, or keeps it as dead if it is larger than the database takes.
    async fn park(
        &self,
        tx: &mut Transaction,
        message: &Message,
        work: &Work<H::Effect>,
        outcome: Outcome,
    ) -> sqlx::Result<Outcome> {
        if inbox_dead::is_too_large(tx, message).await? {
            self.keep(tx, message, "too large to be parked: the database takes no packet of this size").await?;
            return Ok(Outcome::Dead);
        }
        let again = match outcome {
            Outcome::Failed => Again::after_attempt(pause(1)),
            Outcome::Later => Again::without_attempt(LATER_PAUSE),
            _ => Again::when_it_is_next(),
        };
        if inbox_due::park(tx, &self.source, &work.event, message, again).await? == Receipt::First {
            return Ok(outcome);
        }
        // Another process has parked this one meanwhile, or its id or its version is parked for another event.
        match self.turn_of_new(tx, &work.event, 0).await? {
            Turn::Never(outcome, reason) => {
                self.keep(tx, message, &reason).await?;
                Ok(outcome)
            }
            Turn::Duplicate => Ok(Outcome::Applied(Receipt::Duplicate)),
            // Who had the key has let it go: tried again, like any fault.
            Turn::Next | Turn::Early => Err(sqlx::Error::RowNotFound),
        }
    }
}
