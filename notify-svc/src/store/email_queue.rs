//! `notifications` as the queue of the emails to be sent. The database clock decides what is due and how long a lease
//! lasts; the index `email_queue` serves every statement that does not name its row.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::ids::{NotificationId, OrderId};
use uuid::Uuid;

use crate::notification::EmailState;

const ERROR_CHARS_MAX: usize = 1000;

/// Where counting stops: nobody waits for a count of millions.
pub const COUNT_MAX: u32 = 100_000;

/// An email to be sent.
#[derive(Clone, Debug)]
pub struct DueEmail {
    /// The notification it belongs to.
    pub id: NotificationId,
    /// For example `order.created`.
    pub event_type: String,
    /// The order it is about.
    pub order_id: OrderId,
    /// The customer's address.
    pub recipient: String,
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// When the effect was written; the email's date.
    pub created_at: DateTime<Utc>,
    /// Attempts spent before this one.
    pub attempts: u32,
}

/// Who holds an email: one value for each claim, so that a sender that lost its lease can't settle for its successor.
#[derive(Clone, Debug)]
pub struct Claim(String);

impl Claim {
    /// A claim that nobody else makes.
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a settlement found the email under its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It did, and wrote the outcome.
    Yes,
    /// The lease had ended and another sender took the email: it may be sent twice.
    LeaseLost,
}

/// Emails that are due, the longest waiting first. Locks their rows until the transaction ends and steps over those
/// that another sender has locked.
///
/// # Errors
/// Any fault.
pub async fn due(tx: &mut Transaction, emails_max: u32) -> sqlx::Result<Vec<DueEmail>> {
    sqlx::query_as!(
        DueEmail,
        r#"SELECT id AS "id: NotificationId", event_type, order_id AS "order_id: OrderId", recipient, product, quantity,
                  created_at AS "created_at: DateTime<Utc>", attempts
           FROM notifications
           WHERE state = 'pending' AND next_attempt_at <= UTC_TIMESTAMP(6)
           ORDER BY next_attempt_at
           LIMIT ?
           FOR UPDATE SKIP LOCKED"#,
        emails_max,
    )
    .fetch_all(&mut **tx)
    .await
}

/// Leases an email that [`due`] has locked.
///
/// # Errors
/// Any fault.
pub async fn lease(tx: &mut Transaction, id: NotificationId, claim: &Claim, lease: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE notifications
         SET claimed_by = ?, next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE id = ?",
        claim.0,
        micros(lease),
        id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

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
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, attempts = attempts + 1, claimed_by = NULL,
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

/// Gives an email back untried, due after `delay`. Spends no attempt. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn release(pool: &Pool, id: NotificationId, claim: &Claim, delay: Duration) -> sqlx::Result<Settled> {
    let settled = sqlx::query!(
        "UPDATE notifications
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, claimed_by = NULL
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        micros(delay),
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(settled.rows_affected()))
}

/// How many emails are in a state, counted up to [`COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count(pool: &Pool, state: EmailState) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "emails!: i64"
           FROM (SELECT 1 FROM notifications WHERE state = ? LIMIT ?) AS counted"#,
        state.as_str(),
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

impl Settled {
    fn from_rows(rows: u64) -> Self {
        if rows == 1 { Self::Yes } else { Self::LeaseLost }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn cut(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
