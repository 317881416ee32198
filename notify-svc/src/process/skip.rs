//! Giving up versions of an order that never came, so that the later ones go on.

use std::num::NonZeroU32;

use runtime::mysql::{Pool, Transaction};
use schema::aggregate::AggregateId;
use schema::envelope::Envelope;

use super::decide::ROOM;
use super::fault::is_own_fault;
use super::unpark::unpark;
use crate::message::Message;
use crate::store::inbox_action::{self, Action, By};
use crate::store::inbox_dead::{self, DeadId};
use crate::store::inbox_gate::{self, Move};
use crate::store::{inbox_parked, inbox_skipped};

/// Why versions could not be skipped. Nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Unskippable {
    /// A mistyped order, or one that needs no help.
    #[error("no event of this order waits for an earlier version")]
    NothingWaits,
    /// The version has had its effect, or was given up before.
    #[error("version {0} of the order has been passed already")]
    Passed(u32),
    /// An event of this version is there, and waits for the earlier ones.
    #[error("version {0} of the order is there and waits: skip the versions before it only")]
    IsThere(u32),
    /// One of the versions is not missing but dead.
    #[error("version is not missing but dead, as message {0}: requeue or discard that one")]
    IsDead(DeadId),
    /// The database.
    #[error("writing the decision")]
    Database(#[from] sqlx::Error),
}

/// Which version of this order a dead message is, if it is one and that is known.
fn version_of(order: AggregateId, message: &Message) -> Option<u32> {
    let envelope = Envelope::from_headers(|name| message.header(name)).ok()?;
    envelope.aggregate_version.filter(|_| envelope.aggregate_id == order).map(NonZeroU32::get)
}

/// Moves the gate of an order on to a version, without effects, and records why; what is parked behind it goes on. Returns
/// what it passed.
///
/// # Errors
/// See [`Unskippable`].
pub async fn skip(pool: &Pool, order: AggregateId, through: NonZeroU32, by: By<'_>) -> Result<Move, Unskippable> {
    let through = through.get();
    for room in [ROOM, 0] {
        let mut tx = pool.begin().await?;
        let stands_at = inbox_gate::hold(&mut tx, order).await?;
        check(&mut tx, order, stands_at, through).await?;
        let step = Move { aggregate_id: order, from: Some(stands_at), to: through };
        inbox_gate::advance_all(&mut tx, &[step]).await?;
        inbox_skipped::record(&mut tx, step, by.reason).await?;
        let subject = format!("order {order} versions {} to {through}", stands_at + 1);
        inbox_action::record(&mut tx, by, Action::Skip, &subject).await?;
        // Between the two nothing is parked.
        match unpark(&mut tx, &[Move { from: Some(through), ..step }], room).await {
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
async fn check(tx: &mut Transaction, order: AggregateId, stands_at: u32, through: u32) -> Result<(), Unskippable> {
    if through <= stands_at {
        return Err(Unskippable::Passed(through));
    }
    let dead = inbox_dead::open_of(tx, order).await?;
    let dead = dead.iter().filter_map(|(id, message)| Some((version_of(order, message)?, *id)));
    let dead: Vec<_> = dead.filter(|(version, _)| *version > stands_at).collect();
    if let Some((_, id)) = dead.iter().find(|(version, _)| *version <= through) {
        return Err(Unskippable::IsDead(*id));
    }
    let parked = inbox_parked::first(tx, order, stands_at).await?;
    let next = dead.iter().map(|(version, _)| *version).chain(parked).min().ok_or(Unskippable::NothingWaits)?;
    if through >= next { Err(Unskippable::IsThere(next)) } else { Ok(()) }
}
