//! One message in one transaction: what a batch can't settle. The position is written in it, too.

use runtime::mysql::{Transaction, is_data_fault};
use runtime::telemetry::chain;
use uuid::Uuid;

use super::Process;
use super::fault::{is_own_fault, pause};
use super::turn::{self, Turn};
use super::unpark::{Unparked, unpark};
use super::work::{Entry, Work};
use crate::message::Message;
use crate::outcome::Outcome;
use crate::position;
use crate::store::{Receipt, inbox_dead, inbox_due};

impl Process {
    /// A value or an effect that the database refuses costs this message only.
    pub(super) async fn single(&self, reading: Uuid, entry: &Entry) -> sqlx::Result<()> {
        let outcome = match &entry.work {
            Ok(work) => self.apply(reading, &entry.message, work).await?,
            Err(reason) => self.keep_dead(reading, &entry.message, reason).await?,
        };
        entry.settle(outcome);
        Ok(())
    }

    async fn apply(&self, reading: Uuid, message: &Message, work: &Work) -> sqlx::Result<Outcome> {
        let mut tx = self.pool.begin().await?;
        match settle(&mut tx, message, work).await {
            Ok((outcome, unparked)) => {
                commit(tx, reading, message, outcome).await?;
                self.tally.add(unparked);
                Ok(outcome)
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
        work: &Work,
        error: &sqlx::Error,
    ) -> sqlx::Result<Outcome> {
        if is_data_fault(error) || self.attempts_max <= 1 {
            return self.keep_dead(reading, message, &format!("failed at attempt 1: {}", chain(error))).await;
        }
        let mut tx = self.pool.begin().await?;
        turn::hold(&mut tx, &work.event).await?;
        let outcome = park(&mut tx, message, work, Outcome::Failed).await?;
        tracing::warn!(error = chain(error), "effect refused; the event is parked and tried again");
        commit(tx, reading, message, outcome).await
    }

    /// Keeps a message that can't be processed, whole.
    pub(crate) async fn keep_dead(&self, reading: Uuid, message: &Message, reason: &str) -> sqlx::Result<Outcome> {
        let mut tx = self.pool.begin().await?;
        keep(&mut tx, message, reason).await?;
        commit(tx, reading, message, Outcome::Dead).await
    }
}

async fn commit(mut tx: Transaction, reading: Uuid, message: &Message, outcome: Outcome) -> sqlx::Result<Outcome> {
    position::add(&mut tx, reading, [(message, outcome)]).await?;
    tx.commit().await?;
    Ok(outcome)
}

async fn keep(tx: &mut Transaction, message: &Message, reason: &str) -> sqlx::Result<()> {
    if inbox_dead::keep(tx, message, reason).await? == Receipt::First {
        // The reason may quote the message: it stays in the row.
        tracing::error!("message is dead; see `notify-svc message list`");
    }
    Ok(())
}

/// The gate comes first: it makes two processes that hold events of one order queue up for it. What follows in the order
/// is made due, not applied: its fault would be taken for this message's.
async fn settle(tx: &mut Transaction, message: &Message, work: &Work) -> sqlx::Result<(Outcome, Unparked)> {
    let event = &work.event;
    let stands_at = turn::hold(tx, event).await?;
    let mut turn = turn::turn_of_new(tx, event, stands_at).await?;
    let mut unparked = Unparked::default();
    if matches!(turn, Turn::Next) {
        if turn::effect(tx, work, message.stream_sequence, stands_at).await? == Receipt::First {
            let follows = unpark(tx, turn::step(event, stands_at).as_slice(), 0).await?;
            unparked.has_due = follows.is_some_and(|follows| follows.has_due);
            return Ok((work.applied(), unparked));
        }
        // Recorded a moment ago, by who does not hold this gate: another event under its id, or no versions at all.
        turn = turn::repeat(tx, event).await?.unwrap_or_else(turn::conflict);
    }
    let outcome = match turn {
        Turn::Early => park(tx, message, work, Outcome::Early).await?,
        Turn::Never(outcome, reason) => {
            keep(tx, message, &reason).await?;
            outcome
        }
        Turn::Next | Turn::Duplicate => {
            tracing::debug!(deliveries = message.deliveries, "duplicate");
            Outcome::Applied(Receipt::Duplicate)
        }
    };
    Ok((outcome, unparked))
}

/// Parks an event under the lock of its gate, whole, or keeps it as dead if it is larger than the database takes.
pub(super) async fn park(
    tx: &mut Transaction,
    message: &Message,
    work: &Work,
    outcome: Outcome,
) -> sqlx::Result<Outcome> {
    if inbox_dead::is_too_large(tx, message).await? {
        keep(tx, message, "too large to be parked: the database takes no packet of this size").await?;
        return Ok(Outcome::Dead);
    }
    let refused = (outcome == Outcome::Failed).then(|| pause(1));
    if inbox_due::park(tx, &work.event, message, refused).await? == Receipt::First {
        return Ok(outcome);
    }
    // Another process has parked this one meanwhile, or its id or its version is parked for another event.
    match turn::turn_of_new(tx, &work.event, 0).await? {
        Turn::Never(outcome, reason) => {
            keep(tx, message, &reason).await?;
            Ok(outcome)
        }
        Turn::Duplicate => Ok(Outcome::Applied(Receipt::Duplicate)),
        // Who had the key has let it go: tried again, like any fault.
        Turn::Next | Turn::Early => Err(sqlx::Error::RowNotFound),
    }
}
