//! `notifications` as the queue of the emails to be sent. The database clock decides what is due and how long a lease
//! lasts, and [`bring_back`] undoes what it did while it was wrong; the index `email_tries` serves every statement that
//! does not name its row.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::ids::{NotificationId, OrderId};
use sqlx::types::Json;
use uuid::Uuid;

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
    /// Whether somebody held it whose lease has ended.
    pub is_claimed: bool,
}

impl DueEmail {
    /// Whether it was tried before.
    pub fn is_retry(&self) -> bool {
        self.attempts > 0 || self.put_off > 0
    }
}

/// Who holds emails: one value for each claim, so that a sender that lost its lease can't settle for its successor.
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

/// An email under a claim, as it was when it was claimed. A lease that ended is still its sender's until another sender begins:
/// nobody holds the email then, and it was not tried since.
#[derive(Clone, Debug)]
pub struct Held {
    /// Which.
    pub id: NotificationId,
    pub(super) token: String,
    pub(super) attempts: u32,
    pub(super) put_off: u32,
}

impl Held {
    /// An email that this claim holds.
    pub fn new(email: &DueEmail, claim: &Claim) -> Self {
        Self { id: email.id, token: claim.0.clone(), attempts: email.attempts, put_off: email.put_off }
    }
}

/// Whether a settlement found the email under its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It did, and wrote the outcome.
    Yes,
    /// Another sender has begun, or the email is done.
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
                  created_at AS "created_at: DateTime<Utc>", attempts, put_off,
                  claimed_by IS NOT NULL AS "is_claimed!: bool"
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
                  created_at AS "created_at: DateTime<Utc>", attempts, put_off,
                  claimed_by IS NOT NULL AS "is_claimed!: bool"
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

/// Ends the claim on an email that [`due`] has locked and whose lease has ended; nobody else begins for as long as a lease, in
/// which a sender that lives takes it back.
///
/// # Errors
/// Any fault.
pub async fn contest(tx: &mut Transaction, id: NotificationId, lease: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE notifications
         SET claimed_by = NULL, next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE id = ?",
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

/// Makes a lease last for `lease` from now, also one that has ended before another sender began. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn prolong(pool: &Pool, held: &Held, lease: Duration) -> sqlx::Result<Settled> {
    let prolonged = sqlx::query!(
        "UPDATE notifications
         SET claimed_by = ?, next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE id = ? AND state = 'pending'
           AND (claimed_by = ? OR (claimed_by IS NULL AND attempts = ? AND put_off = ?))",
        held.token,
        micros(lease),
        held.id,
        held.token,
        held.attempts,
        held.put_off,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(prolonged.rows_affected()))
}

/// Whether the claim stands. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn is_held(pool: &Pool, held: &Held) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT attempts FROM notifications WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        held.id,
        held.token,
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Has emails that were put off, and that nobody holds, tried at once. Locks their rows.
///
/// # Errors
/// Any fault.
pub async fn hasten(pool: &Pool, ids: &[NotificationId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list
         STRAIGHT_JOIN notifications AS n ON n.id = UNHEX(REPLACE(list.id, '-', ''))
         SET n.next_attempt_at = UTC_TIMESTAMP(6)
         WHERE n.state = 'pending' AND n.put_off > 0 AND n.claimed_by IS NULL",
        Json(ids),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Brings back emails that are due later than this service ever puts one: the database's clock was ahead when that was
/// written. The claim on one that is held ends, as by [`contest`]. Locks those rows.
///
/// # Errors
/// Any fault.
pub async fn bring_back(pool: &Pool, lease: Duration, delay_max: Duration) -> sqlx::Result<u64> {
    let mut brought_back = 0;
    for (is_retry, longest) in [(false, lease), (true, delay_max)] {
        let moved = sqlx::query!(
            "UPDATE notifications
             SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL IF(claimed_by IS NULL, 0, ?) MICROSECOND, claimed_by = NULL
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

impl Settled {
    pub(super) fn from_rows(rows: u64) -> Self {
        if rows == 1 { Self::Yes } else { Self::LeaseLost }
    }
}

/// A duration as the database's INTERVAL takes it.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
