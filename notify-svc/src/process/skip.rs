//! Giving up versions of an order that never came, so that the later ones go on.

use std::num::NonZeroU32;

use runtime::mysql::Pool;
use schema::envelope::Envelope;
use schema::names;
use uuid::Uuid;

use super::pass_gates;
use crate::message::Message;
use crate::store::inbox_dead::{self, DeadId};
use crate::store::inbox_gate::{self, Move, Step};
use crate::store::{Receipt, inbox_skipped, inbox_waiting};

/// Why versions could not be skipped. Nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Unskippable {
    /// A mistyped order, or one that needs no help.
    #[error("no event of this order waits for an elder version")]
    NothingWaits,
    /// The version has had its effect, or was given up before.
    #[error("version {0} of the order has been passed already")]
    Passed(u32),
    /// An event of this version is there, and waits for the elder ones.
    #[error("version {0} of the order is there and waits: skip the versions before it only")]
    IsThere(u32),
    /// One of the versions is not missing but dead.
    #[error("version is not missing but dead, as message {0}: requeue or discard that one")]
    IsDead(DeadId),
    /// Somebody else moved the gate in the meantime.
    #[error("the order went on meanwhile: look again")]
    WentOn,
    /// The database.
    #[error("writing the decision")]
    Database(#[from] sqlx::Error),
}

/// Which version of its order a dead message is, if it can be told.
fn version_of(message: &Message) -> Option<u32> {
    Envelope::from_headers(|name| message.header(name)).ok()?.aggregate_version.map(NonZeroU32::get)
}

/// Moves the gate of an order on to a version, without effects, and records why. Returns what it passed.
///
/// # Errors
/// See [`Unskippable`].
pub async fn skip(pool: &Pool, order: Uuid, through: NonZeroU32, reason: &str) -> Result<Move, Unskippable> {
    let mut tx = pool.begin().await?;
    let step = Step { aggregate_type: names::ORDER, aggregate_id: order, version: through };
    let stands_at = inbox_gate::version(&mut tx, step).await?.unwrap_or_default();
    let through = through.get();
    if through <= stands_at {
        return Err(Unskippable::Passed(through));
    }
    let dead = inbox_dead::open_of(&mut tx, order).await?;
    let dead = dead.iter().filter_map(|(id, message)| Some((version_of(message)?, *id)));
    let dead: Vec<_> = dead.filter(|(version, _)| *version > stands_at).collect();
    if let Some((_, id)) = dead.iter().find(|(version, _)| *version <= through) {
        return Err(Unskippable::IsDead(*id));
    }
    let waiting = inbox_waiting::eldest(&mut tx, order, stands_at).await?;
    let next = dead.iter().map(|(version, _)| *version).chain(waiting).min().ok_or(Unskippable::NothingWaits)?;
    if through >= next {
        return Err(Unskippable::IsThere(next));
    }
    let step = Move { aggregate_id: order, from: stands_at, to: through };
    if pass_gates(&mut tx, &[step]).await? == Receipt::Duplicate {
        return Err(Unskippable::WentOn);
    }
    inbox_skipped::record(&mut tx, step, reason).await?;
    tx.commit().await?;
    Ok(step)
}
