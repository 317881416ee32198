//! Giving up versions of an aggregate that never came, so that the later ones go on.

use std::num::NonZeroU32;

use runtime::mysql::Transaction;
use runtime::operator::decision::By;
use schema::aggregate::AggregateId;
use schema::envelope::Envelope;

use super::Inbox;
use super::decide::ROOM;
use super::fault::is_own_fault;
use crate::handler::Handler;
use crate::message::Message;
use crate::store::inbox_action::{self, Action};
use crate::store::inbox_dead::{self, DeadId};
use crate::store::inbox_gate::{self, Move};
use crate::store::{inbox_parked, inbox_skipped};

/// Why versions could not be skipped. Nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Unskippable {
    /// A mistyped id, or one that needs no help.
    #[error("no event of this id waits for an earlier version")]
    NothingWaits,
    /// The version has had its effect, or was given up before.
    #[error("version {0} of it has been passed already")]
    Passed(u32),
    /// An event of this version is there, and waits for the earlier ones.
    #[error("version {0} of it is there and waits: skip the versions before it only")]
    IsThere(u32),
    /// One of the versions is not missing but dead.
    #[error("version is not missing but dead, as message {0}: requeue or discard that one")]
    IsDead(DeadId),
    /// The database.
    #[error("writing the decision")]
    Database(#[from] sqlx::Error),
}

/// Which version of this aggregate a dead message is, if it is one and that is known.
fn version_of(aggregate_id: AggregateId, message: &Message) -> Option<u32> {
    let envelope = Envelope::from_headers(|name| message.header(name)).ok()?;
    envelope.aggregate_version.filter(|_| envelope.aggregate_id == aggregate_id).map(NonZeroU32::get)
}

impl<H: Handler> Inbox<H> {
    /// Moves the gate of an aggregate on to a version, without effects, and records why; what is parked behind it goes on. Returns
    /// what it passed.
    ///
    /// # Errors
    /// See [`Unskippable`].
    pub async fn skip(&self, aggregate_id: AggregateId, through: NonZeroU32, by: By<'_>) -> Result<Move, Unskippable> {
        let (source, through) = (&self.source, through.get());
        for room in [ROOM, 0] {
            let mut tx = self.pool.begin().await?;
            let stands_at = inbox_gate::hold(&mut tx, source, aggregate_id).await?;
            self.check(&mut tx, aggregate_id, stands_at, through).await?;
            let step = Move { aggregate_id, from: Some(stands_at), to: through };
            inbox_gate::advance_all(&mut tx, source, &[step]).await?;
            inbox_skipped::record(&mut tx, source, step, by.reason).await?;
            let subject = format!("{} {aggregate_id} versions {} to {through}", self.noun(), stands_at + 1);
            inbox_action::record(&mut tx, by, Action::Skip, &subject).await?;
            // Between the two nothing is parked.
            match self.unpark(&mut tx, &[Move { from: Some(through), ..step }], room).await {
                Ok(Some(_)) => {
                    tx.commit().await?;
                    return Ok(step);
                }
                Err(error) if !is_own_fault(&error) => return Err(error.into()),
                Ok(None) | Err(_) => tx.rollback().await?,
            }
        }
        Err(Unskippable::Database(sqlx::Error::RowNotFound))
    }

    /// Whether the versions are missing, and somebody waits for them. The caller holds the gate.
    async fn check(
        &self,
        tx: &mut Transaction,
        aggregate_id: AggregateId,
        stands_at: u32,
        through: u32,
    ) -> Result<(), Unskippable> {
        let source = &self.source;
        if through <= stands_at {
            return Err(Unskippable::Passed(through));
        }
        let dead = inbox_dead::open_of(tx, source, aggregate_id).await?;
        let dead = dead.iter().filter_map(|(id, message)| Some((version_of(aggregate_id, message)?, *id)));
        let dead: Vec<_> = dead.filter(|(version, _)| *version > stands_at).collect();
        if let Some((_, id)) = dead.iter().find(|(version, _)| *version <= through) {
            return Err(Unskippable::IsDead(*id));
        }
        let parked = inbox_parked::first(tx, source, aggregate_id, stands_at).await?;
        let next = dead.iter().map(|(version, _)| *version).chain(parked).min().ok_or(Unskippable::NothingWaits)?;
        if through >= next { Err(Unskippable::IsThere(next)) } else { Ok(()) }
    }
}
