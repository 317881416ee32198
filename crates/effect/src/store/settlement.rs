//! `effect` when an attempt is over: what became of it, written only under its own claim, but for what is done.

use std::time::Duration;

use runtime::mysql::{Pool, Transaction};

use super::claim::{Held, Settled};
use super::{cut, micros};

/// How an effect stands that is tried again.
#[derive(Clone, Debug)]
pub(crate) struct Again {
    /// Until it is due.
    pub(crate) delay: Duration,
    /// Attempts that are spent.
    pub(crate) attempts: u32,
    /// How often it was put off since the last of them.
    pub(crate) put_off: u32,
    /// Whether it may have happened.
    pub(crate) is_unknown: bool,
    /// What went wrong, if anything did.
    pub(crate) error: Option<String>,
}

/// Ends an effect, in the transaction of its conclusion, whoever holds it now: the other side did it. Locks its row.
///
/// # Errors
/// Any fault.
pub(crate) async fn done(tx: &mut Transaction, held: &Held) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE effect
         SET state = 'done', attempts = attempts + 1, is_unknown = 0, claimed_by = ?, last_error = NULL,
             ended_at = UTC_TIMESTAMP(6)
         WHERE id = ? AND state = 'pending'",
        held.token,
        held.id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Whether this claim has concluded the effect: a COMMIT without an answer was one. Locks nothing.
///
/// # Errors
/// Any fault.
pub(crate) async fn is_done(pool: &Pool, held: &Held) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT attempts FROM effect WHERE id = ? AND state = 'done' AND claimed_by = ?",
        held.id,
        held.token,
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Ends an effect that nobody wants any more, in the transaction of its conclusion. Locks its row.
///
/// # Errors
/// Any fault.
pub(crate) async fn withdrawn(tx: &mut Transaction, held: &Held, reason: &str) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE effect
         SET state = 'withdrawn', is_unknown = 0, claimed_by = NULL, last_error = ?, ended_at = UTC_TIMESTAMP(6)
         WHERE id = ? AND state = 'pending'
           AND (claimed_by = ? OR (claimed_by IS NULL AND attempts = ? AND put_off = ?))",
        cut(reason),
        held.id,
        held.token,
        held.attempts,
        held.put_off,
    )
    .execute(&mut *tx)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Settles an effect that is not tried again by itself. Locks its row.
///
/// # Errors
/// Any fault.
pub(crate) async fn dead(tx: &mut Transaction, held: &Held, is_unknown: bool, error: &str) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE effect
         SET state = 'dead', attempts = attempts + 1, is_unknown = ?, claimed_by = NULL, last_error = ?,
             ended_at = UTC_TIMESTAMP(6)
         WHERE id = ? AND state = 'pending'
           AND (claimed_by = ? OR (claimed_by IS NULL AND attempts = ? AND put_off = ?))",
        is_unknown,
        cut(error),
        held.id,
        held.token,
        held.attempts,
        held.put_off,
    )
    .execute(&mut *tx)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Settles an effect that is to be tried again. Locks its row.
///
/// # Errors
/// Any fault.
pub(crate) async fn again(pool: &Pool, held: &Held, again: &Again) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE effect
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, attempts = ?, put_off = ?, is_unknown = ?,
             claimed_by = NULL, last_error = COALESCE(?, last_error)
         WHERE id = ? AND state = 'pending'
           AND (claimed_by = ? OR (claimed_by IS NULL AND attempts = ? AND put_off = ?))",
        micros(again.delay),
        again.attempts,
        again.put_off,
        again.is_unknown,
        again.error.as_deref().map(cut),
        held.id,
        held.token,
        held.attempts,
        held.put_off,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}
