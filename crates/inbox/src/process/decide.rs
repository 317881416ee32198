//! What a person decides about a dead message: it is processed again, or given up. What is parked behind it goes on in the
//! same transaction.

use runtime::mysql::Transaction;
use runtime::operator::decision::By;
use runtime::telemetry::chain;
use schema::content;
use schema::envelope::Envelope;

use super::Inbox;
use super::fault::is_own_fault;
use super::turn::{self, Turn};
use crate::event::{Content, Event, Kind, Work};
use crate::handler::{Applied, Handler};
use crate::message::Message;
use crate::store::Receipt;
use crate::store::inbox_action::{self, Action};
use crate::store::inbox_dead::{self, DeadId, Resolution};
use crate::store::inbox_due::{self, Again};

/// What one transaction of a verb takes along; the service does the rest.
pub(super) const ROOM: usize = 256;

/// What a repeated requeue came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Requeued {
    /// The event has had its effect, now or before.
    Applied,
    /// An earlier version of its aggregate is missing: it is parked, and no longer dead.
    Parked,
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
    /// The gate stands before an earlier version.
    #[error("version {missing} of it has had no effect yet: requeue or discard that one first")]
    EarlierMissing {
        /// The earlier version that is missing first.
        missing: u32,
    },
    /// The database.
    #[error("writing the decision")]
    Database(#[from] sqlx::Error),
}

fn subject(id: DeadId) -> String {
    format!("message {id}")
}

impl<H: Handler> Inbox<H> {
    /// Processes a dead message again, by the same way as when it came, and marks it as requeued in the same transaction.
    /// Locks its row: two operators do it once.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn requeue(&self, id: DeadId, by: By<'_>) -> sqlx::Result<Requeued> {
        let mut refusal = String::new();
        for room in [ROOM, 0] {
            let mut tx = self.pool.begin().await?;
            let Some(dead) = inbox_dead::open(&mut tx, &self.source, id).await? else { return Ok(Requeued::Unknown) };
            if dead.is_cut {
                return Ok(Requeued::Refused("the row has only the beginning of the message".to_owned()));
            }
            let work = match self.read(&dead.message) {
                Content::Event(work) => work,
                Content::Foreign => return Ok(Requeued::Refused("it is about another type of aggregate".to_owned())),
                Content::Dead(reason) => return Ok(Requeued::Refused(reason)),
            };
            match self.process_again(&mut tx, &dead.message, &work, room).await {
                Ok(Some(refused @ Requeued::Refused(_))) => return Ok(refused),
                Ok(Some(requeued)) => {
                    inbox_dead::resolve(&mut tx, id, Resolution::Requeued, None).await?;
                    inbox_action::record(&mut tx, by, Action::Requeue, &subject(id)).await?;
                    tx.commit().await?;
                    return Ok(requeued);
                }
                Ok(None) => {
                    refusal = "its effect can't be written yet, or an event that follows it is in conflict".to_owned();
                }
                Err(error) if is_own_fault(&error) => refusal = chain(&error),
                Err(error) => return Err(error),
            }
            tx.rollback().await?;
        }
        Ok(Requeued::Refused(refusal))
    }

    /// None if a key is taken that should not be.
    async fn process_again(
        &self,
        tx: &mut Transaction,
        message: &Message,
        work: &Work<H::Effect>,
        room: usize,
    ) -> sqlx::Result<Option<Requeued>> {
        let event = &work.event;
        let stands_at = self.hold(tx, event).await?;
        match self.turn_of_new(tx, event, stands_at).await? {
            Turn::Next => {
                if self.effect(tx, work, message.stream_sequence, stands_at).await? != Applied::Done {
                    return Ok(None);
                }
                let unparked = self.unpark(tx, turn::step(event, stands_at).as_slice(), room).await?;
                Ok(unparked.map(|_| Requeued::Applied))
            }
            Turn::Early
                if inbox_due::park(tx, &self.source, event, message, Again::when_it_is_next()).await?
                    == Receipt::First =>
            {
                Ok(Some(Requeued::Parked))
            }
            Turn::Early => Ok(None),
            Turn::Duplicate => Ok(Some(Requeued::Applied)),
            Turn::Never(_, reason) => Ok(Some(Requeued::Refused(reason))),
        }
    }

    /// Gives a dead message up. If it was a version of an aggregate, the gate moves on without an effect, and the event
    /// counts as recorded.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn discard(&self, id: DeadId, by: By<'_>) -> Result<(), Failure> {
        for room in [ROOM, 0] {
            let mut tx = self.pool.begin().await?;
            let message = inbox_dead::open(&mut tx, &self.source, id).await?.ok_or(Failure::Unknown(id))?.message;
            let envelope = Envelope::from_headers(|name| message.header(name)).ok();
            if let Some(envelope) = envelope.filter(|envelope| envelope.aggregate_type == self.source.aggregate_type) {
                let payload_sha256 = content::digest(&message.payload);
                let event = Event { envelope, kind: Kind::Tombstone, payload_sha256 };
                let work = Work { event, effect: None };
                match self.pass(&mut tx, &message, &work, room).await {
                    Ok(true) => {}
                    Ok(false) => {
                        tx.rollback().await?;
                        continue;
                    }
                    Err(Failure::Database(error)) if is_own_fault(&error) && room > 0 => {
                        tx.rollback().await?;
                        continue;
                    }
                    Err(failure) => return Err(failure),
                }
            }
            inbox_dead::resolve(&mut tx, id, Resolution::Discarded, Some(by.reason)).await?;
            inbox_action::record(&mut tx, by, Action::Discard, &subject(id)).await?;
            return Ok(tx.commit().await?);
        }
        Err(Failure::Database(sqlx::Error::RowNotFound))
    }

    /// Moves the gate over the message, if it stands right before it. False if what follows can't be taken along.
    async fn pass(
        &self,
        tx: &mut Transaction,
        message: &Message,
        work: &Work<H::Effect>,
        room: usize,
    ) -> Result<bool, Failure> {
        let stands_at = self.hold(tx, &work.event).await?;
        match self.turn_of_new(tx, &work.event, stands_at).await? {
            Turn::Next => {
                // A key that is taken is a conflict's: the event that had its effect has moved the gate.
                if self.effect(tx, work, message.stream_sequence, stands_at).await? != Applied::Done {
                    return Ok(true);
                }
                Ok(self.unpark(tx, turn::step(&work.event, stands_at).as_slice(), room).await?.is_some())
            }
            Turn::Early => Err(Failure::EarlierMissing { missing: stands_at + 1 }),
            Turn::Duplicate | Turn::Never(..) => Ok(true),
        }
    }
}
