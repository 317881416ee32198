//! One message in one transaction: what a batch can't settle, and what a person decides about a dead message.

use runtime::mysql::{Pool, Transaction, is_data_fault};
use runtime::telemetry::chain;
use schema::envelope::Envelope;
use schema::names;
use sha2::{Digest, Sha256};

use super::{Outcome, Process, Work, applied, decode};
use crate::event::{Content, Event};
use crate::message::Message;
use crate::store::inbox_dead::{self, Resolution};
use crate::store::inbox_gate::Step;
use crate::store::{Receipt, inbox, inbox_dead::DeadId, inbox_gate, inbox_waiting, notifications};

/// What a reused event id is told.
const CONFLICT: &str = "conflict: another event with this id, but another payload, had its effect before";

/// What a repeated requeue came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Requeued {
    /// The event has had its effect, now or before.
    Applied,
    /// It still can't: the reason. The message stays dead.
    Refused(String),
    /// No open dead message has this id.
    Unknown,
}

/// Why a dead message could not be discarded.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No open dead message has this id.
    #[error("no open dead message has the id {0}")]
    Unknown(DeadId),
    /// The gate stands before an elder.
    #[error("version {missing} of the order has had no effect yet: requeue or discard that one first")]
    ElderMissing {
        /// The elder that is missing first.
        missing: u32,
    },
    /// The database.
    #[error("writing the decision")]
    Database(#[from] sqlx::Error),
}

/// Where an event stands in the order of its aggregate's versions.
enum Turn {
    Next,
    Behind,
    Ahead,
}

impl Process {
    /// A value or an effect that the database refuses costs this message only.
    pub(super) async fn single(&self, message: &Message, work: &Work) -> sqlx::Result<Outcome> {
        let mut tx = self.pool.begin().await?;
        let written = apply(&mut tx, message, work).await;
        match written {
            Ok(Outcome::Applied(_) | Outcome::Tombstone) => tx.commit().await?,
            Ok(_) | Err(_) => tx.rollback().await?,
        }
        match written {
            Ok(Outcome::Early) => self.wait(message, &work.event).await,
            Ok(Outcome::Conflict) => self.bury(message, CONFLICT).await.map(|_| Outcome::Conflict),
            Err(error) if is_data_fault(&error) => self.bury(message, &chain(&error)).await,
            Err(error) if is_constraint_fault(&error) && message.deliveries >= self.deliveries_max => {
                let reason = format!("failed at delivery {}: {}", message.deliveries, chain(&error));
                self.bury(message, &reason).await
            }
            Err(error) if is_constraint_fault(&error) => {
                tracing::warn!(error = chain(&error), deliveries = message.deliveries, "effect refused, trying again");
                Ok(Outcome::Failed)
            }
            settled => settled,
        }
    }

    async fn wait(&self, message: &Message, event: &Event) -> sqlx::Result<Outcome> {
        tracing::debug!(deliveries = message.deliveries, "ahead of its turn");
        if let Some(step) = step(&event.envelope) {
            inbox_waiting::note(&self.pool, step, event.envelope.event_id, message).await?;
        }
        Ok(Outcome::Early)
    }

    /// Keeps a message that can't be processed, whole.
    pub(super) async fn bury(&self, message: &Message, reason: &str) -> sqlx::Result<Outcome> {
        let mut tx = self.pool.begin().await?;
        let kept = inbox_dead::keep(&mut tx, message, reason).await?;
        tx.commit().await?;
        if kept == Receipt::First {
            // The reason may quote the message: it stays in the row.
            tracing::error!("message is dead; see `notify-svc dead list`");
        }
        Ok(Outcome::Dead)
    }
}

/// The inbox row comes first: it makes two processes that hold the same message queue up for its key.
async fn apply(tx: &mut Transaction, message: &Message, work: &Work) -> sqlx::Result<Outcome> {
    let event = &work.event;
    if inbox::record(tx, event, message.stream_sequence).await? == Receipt::Duplicate {
        let recorded = inbox::payload_sha256(tx, event.envelope.event_id).await?;
        if recorded.is_some_and(|recorded| event.is_in_conflict_with(recorded)) {
            return Ok(Outcome::Conflict);
        }
        tracing::debug!(deliveries = message.deliveries, "duplicate");
        return Ok(Outcome::Applied(Receipt::Duplicate));
    }
    match pass_gate(tx, &event.envelope).await? {
        Turn::Next => {}
        Turn::Ahead => return Ok(Outcome::Early),
        Turn::Behind => {
            tracing::warn!("another event with this version of the order had its effect before; this one has none");
            return Ok(Outcome::Applied(Receipt::Duplicate));
        }
    }
    match &work.notification {
        Some(notification) => notifications::insert(tx, notification).await.map(Outcome::Applied),
        None => Ok(applied(event)),
    }
}

fn step(envelope: &Envelope) -> Option<Step<'_>> {
    let step = |version| Step { aggregate_type: names::ORDER, aggregate_id: envelope.aggregate_id, version };
    envelope.aggregate_version.map(step)
}

/// An event without a version, from a writer that keeps none, is always next.
async fn pass_gate(tx: &mut Transaction, envelope: &Envelope) -> sqlx::Result<Turn> {
    let Some(step) = step(envelope) else { return Ok(Turn::Next) };
    let version = step.version.get();
    if version == 1 {
        return Ok(match inbox_gate::open(tx, step).await? {
            Receipt::First => Turn::Next,
            Receipt::Duplicate => Turn::Behind,
        });
    }
    if inbox_gate::advance(tx, step).await? {
        return Ok(Turn::Next);
    }
    let stands_at = inbox_gate::version(tx, step).await?;
    Ok(if stands_at.is_some_and(|stands_at| stands_at >= version) { Turn::Behind } else { Turn::Ahead })
}

/// Whether the server refused the effect by a rule of the schema, such as a CHECK or a trigger: perhaps for this message
/// only, so that the others must not wait for it. A taken key is no such fault.
pub(super) fn is_constraint_fault(error: &sqlx::Error) -> bool {
    const CHECK_VIOLATED: &str = "(3819)"; // MySQL gives it no SQLSTATE of its own
    let Some(error) = error.as_database_error() else { return false };
    let state = error.code().unwrap_or_default();
    let is_check = || error.message().contains("Check constraint") || error.to_string().contains(CHECK_VIOLATED);
    state.starts_with("23") || state.starts_with("45") || (state == "HY000" && is_check())
}

/// Processes a dead message again, by the same way as when it came, and marks it as requeued in the same transaction.
/// Locks its row: two operators do it once.
///
/// # Errors
/// A fault of the database.
pub async fn requeue(pool: &Pool, id: DeadId) -> sqlx::Result<Requeued> {
    let mut tx = pool.begin().await?;
    let Some(message) = inbox_dead::open(&mut tx, id).await? else { return Ok(Requeued::Unknown) };
    let work = match decode(0, &message) {
        Ok(work) => work,
        Err(reason) => return Ok(Requeued::Refused(reason)),
    };
    match apply(&mut tx, &message, &work).await {
        Ok(Outcome::Applied(_) | Outcome::Tombstone) => {
            inbox_dead::resolve(&mut tx, id, Resolution::Requeued, None).await?;
            tx.commit().await?;
            Ok(Requeued::Applied)
        }
        Ok(Outcome::Early) => Ok(Requeued::Refused("an elder version of its order has had no effect yet".to_owned())),
        Ok(Outcome::Conflict) => Ok(Requeued::Refused(CONFLICT.to_owned())),
        Ok(other) => Ok(Requeued::Refused(format!("unexpected outcome {other:?}"))),
        Err(error) if is_data_fault(&error) || is_constraint_fault(&error) => Ok(Requeued::Refused(chain(&error))),
        Err(error) => Err(error),
    }
}

/// Gives a dead message up. If it was a version of an order, the order's gate moves on without an effect, and the event
/// counts as recorded.
///
/// # Errors
/// See [`Failure`].
pub async fn discard(pool: &Pool, id: DeadId, note: &str) -> Result<(), Failure> {
    let mut tx = pool.begin().await?;
    let message = inbox_dead::open(&mut tx, id).await?.ok_or(Failure::Unknown(id))?;
    let envelope = Envelope::from_headers(|name| message.header(name)).ok();
    if let Some(envelope) = envelope.filter(|envelope| envelope.aggregate_type == names::ORDER) {
        let payload_sha256 = Sha256::digest(&message.payload).into();
        let event = Event { envelope, content: Content::Tombstone, payload_sha256 };
        // A key that is taken is a conflict's: the event that had its effect has moved the gate.
        if inbox::record(&mut tx, &event, message.stream_sequence).await? == Receipt::First
            && matches!(pass_gate(&mut tx, &event.envelope).await?, Turn::Ahead)
            && let Some(step) = step(&event.envelope)
        {
            let stands_at = inbox_gate::version(&mut tx, step).await?;
            return Err(Failure::ElderMissing { missing: stands_at.unwrap_or_default() + 1 });
        }
    }
    inbox_dead::resolve(&mut tx, id, Resolution::Discarded, Some(note)).await?;
    tx.commit().await?;
    Ok(())
}
