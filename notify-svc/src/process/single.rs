//! One message in one transaction: what a batch can't settle.

use runtime::mysql::{Transaction, is_data_fault};
use runtime::telemetry::chain;

use super::parked::pause;
use super::turn::{self, Turn};
use super::unpark::{Unparked, unpark};
use super::{Outcome, Process, Work, applied};
use crate::message::Message;
use crate::store::{Receipt, inbox_dead, inbox_due};

impl Process {
    /// A value or an effect that the database refuses costs this message only.
    pub(super) async fn single(&self, message: &Message, work: &Work) -> sqlx::Result<Outcome> {
        let mut tx = self.pool.begin().await?;
        match settle(&mut tx, message, work).await {
            Ok((outcome, unparked)) => {
                tx.commit().await?;
                self.tally.add(unparked);
                Ok(outcome)
            }
            Err(error) if is_own_fault(&error) => {
                tx.rollback().await?;
                self.refused(message, work, &error).await
            }
            Err(error) => Err(error),
        }
    }

    /// What the database may take later is parked until then; a value that it never takes is dead at once.
    async fn refused(&self, message: &Message, work: &Work, error: &sqlx::Error) -> sqlx::Result<Outcome> {
        if is_data_fault(error) || self.attempts_max <= 1 {
            return self.bury(message, &format!("failed at attempt 1: {}", chain(error))).await;
        }
        let mut tx = self.pool.begin().await?;
        turn::hold(&mut tx, &work.event).await?;
        let outcome = park(&mut tx, message, work, Outcome::Failed).await?;
        tx.commit().await?;
        tracing::warn!(error = chain(error), "effect refused; the event is parked and tried again");
        Ok(outcome)
    }

    /// Keeps a message that can't be processed, whole.
    pub(crate) async fn bury(&self, message: &Message, reason: &str) -> sqlx::Result<Outcome> {
        let mut tx = self.pool.begin().await?;
        keep(&mut tx, message, reason).await?;
        tx.commit().await?;
        Ok(Outcome::Dead)
    }
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
            let follows = unpark(tx, &turn::passed(event, stands_at), 0).await?;
            unparked.has_due = follows.is_some_and(|follows| follows.has_due);
            return Ok((applied(event), unparked));
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

/// Whether the server refused this value or this effect, perhaps for this message only, so that the others must not wait
/// for it: by its type, or by a rule of the schema such as a CHECK or a trigger. A taken key is no such fault.
pub(super) fn is_own_fault(error: &sqlx::Error) -> bool {
    const CHECK_VIOLATED: &str = "(3819)"; // MySQL gives it no SQLSTATE of its own
    let Some(database) = error.as_database_error() else { return false };
    let state = database.code().unwrap_or_default();
    let is_check = || database.message().contains("Check constraint") || database.to_string().contains(CHECK_VIOLATED);
    is_data_fault(error) || state.starts_with("23") || state.starts_with("45") || (state == "HY000" && is_check())
}
