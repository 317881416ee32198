//! `notifications` when a sender is done with an email: what became of it, written only under the sender's own claim, but for what the transport took.

use std::time::Duration;

use runtime::mysql::Pool;
use schema::ids::NotificationId;

use super::email_queue::{Held, Settled, micros};

const ERROR_CHARS_MAX: usize = 1000;

/// How an email stands that is tried again: nobody else changes what is counted while it is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// Until it is due.
    pub delay: Duration,
    /// Attempts that are spent.
    pub attempts: u32,
    /// How often it was put off since the last of them.
    pub put_off: u32,
    /// What went wrong, if anything did.
    pub error: Option<&'a str>,
}

/// Settles an email as sent, whoever holds it now: the transport took it. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn sent(pool: &Pool, id: NotificationId) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET state = 'sent', sent_at = UTC_TIMESTAMP(6), attempts = attempts + 1, claimed_by = NULL, last_error = NULL
         WHERE id = ? AND state = 'pending'",
        id,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Settles an email that will not be tried again. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn dead(pool: &Pool, held: &Held, error: &str) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET state = 'dead', attempts = attempts + 1, claimed_by = NULL, last_error = ?
         WHERE id = ? AND state = 'pending'
           AND (claimed_by = ? OR (claimed_by IS NULL AND attempts = ? AND put_off = ?))",
        cut(error),
        held.id,
        held.token,
        held.attempts,
        held.put_off,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// Settles an email that is to be tried again. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn again(pool: &Pool, held: &Held, again: Again<'_>) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, attempts = ?, put_off = ?, claimed_by = NULL,
             last_error = COALESCE(?, last_error)
         WHERE id = ? AND state = 'pending'
           AND (claimed_by = ? OR (claimed_by IS NULL AND attempts = ? AND put_off = ?))",
        micros(again.delay),
        again.attempts,
        again.put_off,
        again.error.map(cut),
        held.id,
        held.token,
        held.attempts,
        held.put_off,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

fn cut(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
