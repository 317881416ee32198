//! `notifications` when a sender is done with an email: what became of it, written only under the sender's own claim.

use std::time::Duration;

use runtime::mysql::Pool;
use schema::ids::NotificationId;

use super::email_queue::{Claim, Settled, micros};

const ERROR_CHARS_MAX: usize = 1000;

/// Settles an email as sent. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn sent(pool: &Pool, id: NotificationId, claim: &Claim) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET state = 'sent', sent_at = UTC_TIMESTAMP(6), attempts = attempts + 1, claimed_by = NULL, last_error = NULL
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Settles an email as refused, to be tried again after `delay`. Spends an attempt. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn refused(
    pool: &Pool,
    id: NotificationId,
    claim: &Claim,
    delay: Duration,
    error: &str,
) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, attempts = attempts + 1, put_off = 0,
             claimed_by = NULL, last_error = ?
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        micros(delay),
        cut(error),
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Settles an email that will not be tried again. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn dead(pool: &Pool, id: NotificationId, claim: &Claim, error: &str) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET state = 'dead', attempts = attempts + 1, claimed_by = NULL, last_error = ?
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        cut(error),
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Settles an email at which the transport failed, to be tried again after `delay`. Spends no attempt. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn put_off(
    pool: &Pool,
    id: NotificationId,
    claim: &Claim,
    delay: Duration,
    error: &str,
) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, put_off = put_off + 1, claimed_by = NULL,
             last_error = ?
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        micros(delay),
        cut(error),
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Gives an email back untried, due after `delay`, with the reason if there is one. Spends no attempt. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn release(
    pool: &Pool,
    id: NotificationId,
    claim: &Claim,
    delay: Duration,
    error: Option<&str>,
) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, claimed_by = NULL,
             last_error = COALESCE(?, last_error)
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        micros(delay),
        error.map(cut),
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

fn cut(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
