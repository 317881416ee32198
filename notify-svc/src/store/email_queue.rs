//! `notifications` as the queue of the emails to be sent. The database clock decides what is due and how long a lease
//! lasts, and [`bring_back`] undoes what it did while it was wrong; the index `email_tries` serves every statement that
//! does not name its row.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::ids::{NotificationId, OrderId};
use uuid::Uuid;

use crate::notification::EmailState;

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
    /// How often it was put off since then without an attempt spent.
    pub put_off: u32,
}

impl DueEmail {
    /// Whether it was tried before.
    pub fn is_retry(&self) -> bool {
        self.attempts > 0 || self.put_off > 0
    }
}

/// Who holds an email: one value for each claim, so that a sender that lost its lease can't settle for its successor.
#[derive(Clone, Debug)]
pub struct Claim(pub(super) String);

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

/// Emails that are due, the longest waiting first: those that were tried before, or those that were not. Locks their
/// rows until the transaction ends and steps over those that another sender has locked.
///
/// # Errors
/// Any fault.
pub async fn due(tx: &mut Transaction, is_retry: bool, emails_max: u32) -> sqlx::Result<Vec<DueEmail>> {
    sqlx::query_as!(
        DueEmail,
        r#"SELECT id AS "id: NotificationId", event_type, order_id AS "order_id: OrderId", recipient, product, quantity,
                  created_at AS "created_at: DateTime<Utc>", attempts, put_off
           FROM notifications
           WHERE state = 'pending' AND is_retry = ? AND next_attempt_at <= UTC_TIMESTAMP(6)
           ORDER BY next_attempt_at
           LIMIT ?
           FOR UPDATE SKIP LOCKED"#,
        is_retry,
        emails_max,
    )
    .fetch_all(&mut **tx)
    .await
}

/// Emails that are due and were never tried, the newest first. Locks as [`due`] does.
///
/// # Errors
/// Any fault.
pub async fn due_newest(tx: &mut Transaction, emails_max: u32) -> sqlx::Result<Vec<DueEmail>> {
    sqlx::query_as!(
        DueEmail,
        r#"SELECT id AS "id: NotificationId", event_type, order_id AS "order_id: OrderId", recipient, product, quantity,
                  created_at AS "created_at: DateTime<Utc>", attempts, put_off
           FROM notifications
           WHERE state = 'pending' AND is_retry = 0 AND next_attempt_at <= UTC_TIMESTAMP(6)
           ORDER BY next_attempt_at DESC
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

/// Prolongs the lease of an email that [`due`] has locked, whoever holds it.
///
/// # Errors
/// Any fault.
pub async fn keep(tx: &mut Transaction, id: NotificationId, lease: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE notifications SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id = ?",
        micros(lease),
        id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts off an email that [`due`] has locked: its recipient is passed over for now.
///
/// # Errors
/// Any fault.
pub async fn pass_over(tx: &mut Transaction, id: NotificationId, delay: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE notifications
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, put_off = GREATEST(put_off, 1),
             last_error = COALESCE(last_error, 'waits: the server failed at another email for this recipient')
         WHERE id = ?",
        micros(delay),
        id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes a lease that is still held last for `lease` from now. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn prolong(pool: &Pool, id: NotificationId, claim: &Claim, lease: Duration) -> sqlx::Result<Settled> {
    let prolonged = sqlx::query!(
        "UPDATE notifications
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        micros(lease),
        id,
        claim.0,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(prolonged.rows_affected()))
}

/// Brings back emails that are due later than this service ever puts one: the database's clock was ahead when that was
/// written. One that is held is due when its lease would end. Locks those rows.
///
/// # Errors
/// Any fault.
pub async fn bring_back(pool: &Pool, lease: Duration, delay_max: Duration) -> sqlx::Result<u64> {
    let mut brought_back = 0;
    for (is_retry, longest) in [(false, lease), (true, delay_max)] {
        let moved = sqlx::query!(
            "UPDATE notifications
             SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL IF(claimed_by IS NULL, 0, ?) MICROSECOND
             WHERE state = 'pending' AND is_retry = ?
               AND next_attempt_at > UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
             LIMIT 1000",
            micros(lease),
            is_retry,
            micros(longest),
        )
        .execute(pool)
        .await?;
        brought_back += moved.rows_affected();
    }
    Ok(brought_back)
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
    pub(super) fn from_rows(rows: u64) -> Self {
        if rows == 1 { Self::Yes } else { Self::LeaseLost }
    }
}

/// A duration as the database's INTERVAL takes it.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
