//! `effect` when an attempt is over: what became of it, written only under its own claim.

use std::time::Duration;

use runtime::mysql::{Pool, Transaction};
use schema::ids::EffectId;

use super::queue::Claim;
use super::{cut, micros};

/// Whether a settlement found the effect under its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It did, and wrote the outcome.
    Yes,
    /// Another process has it, or it is ended.
    ClaimLost,
}

/// How an effect stands that is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again<'a> {
    /// Until it is due.
    pub(crate) delay: Duration,
    /// Attempts that are spent.
    pub(crate) attempts: u32,
    /// How often it was put off since the last of them.
    pub(crate) put_off: u32,
    /// Whether it may have happened.
    pub(crate) is_unknown: bool,
    /// What went wrong, if anything did.
    pub(crate) error: Option<&'a str>,
}

/// Ends an effect, in the transaction of its conclusion. Locks its row.
///
/// # Errors
/// Any fault.
pub(crate) async fn done(tx: &mut Transaction, id: EffectId, claim: &Claim) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE effect
         SET state = 'done', attempts = attempts + 1, is_unknown = 0, last_error = NULL, ended_at = UTC_TIMESTAMP(6)
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        id,
        claim.0,
    )
    .execute(&mut **tx)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Whether this claim has concluded the effect: a COMMIT without an answer was one. Locks nothing.
///
/// # Errors
/// Any fault.
pub(crate) async fn is_done(pool: &Pool, id: EffectId, claim: &Claim) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT attempts FROM effect WHERE id = ? AND state = 'done' AND claimed_by = ?",
        id,
        claim.0,
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Settles an effect that is not tried again by itself. Locks its row.
///
/// # Errors
/// Any fault.
pub(crate) async fn dead(
    pool: &Pool,
    id: EffectId,
    claim: &Claim,
    (is_unknown, error): (bool, &str),
) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE effect
         SET state = 'dead', attempts = attempts + 1, is_unknown = ?, claimed_by = NULL, last_error = ?,
             ended_at = UTC_TIMESTAMP(6)
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        is_unknown,
        cut(error),
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Settles an effect that is to be tried again. Locks its row.
///
/// # Errors
/// Any fault.
pub(crate) async fn again(pool: &Pool, id: EffectId, claim: &Claim, again: Again<'_>) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE effect
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, attempts = ?, put_off = ?, is_unknown = ?,
             claimed_by = NULL, last_error = COALESCE(?, last_error)
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        micros(again.delay),
        again.attempts,
        again.put_off,
        again.is_unknown,
        again.error.map(cut),
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

impl Settled {
    fn from_rows(rows: u64) -> Self {
        if rows == 1 { Self::Yes } else { Self::ClaimLost }
    }
}
