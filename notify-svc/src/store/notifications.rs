//! `notifications`: the effects of events. What becomes of an email is in `effect`, with the notification's
//! id, until that is purged.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::ids::{EventId, NotificationId, OrderId};
use serde::Serialize;
use sqlx::types::Json;
use uuid::fmt::Simple;

use super::Receipt;
use super::suppression::COUNT_MAX;
use crate::notification::{EmailState, NewNotification};
use crate::suppression::HeldBack;

/// A notification and what became of its email.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Its id, the left part of the email's Message-ID.
    pub id: NotificationId,
    /// The event that it is the effect of.
    pub event_id: EventId,
    /// For example `order.created`.
    pub event_type: String,
    /// The order it is about.
    pub order_id: OrderId,
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// When the effect was written.
    pub created_at: DateTime<Utc>,
    /// When the transport took the email.
    pub sent_at: Option<DateTime<Utc>>,
    /// Why it was held back, if it was.
    pub suppressed: Option<HeldBack>,
    /// How often sending was tried and refused or accepted; none if nobody keeps that any more.
    pub attempts: Option<u32>,
    /// What the last try said that did not send it.
    pub last_error: Option<String>,
    pub(super) effect_state: Option<String>,
}

impl Notification {
    /// Where its email stands.
    pub fn state(&self) -> EmailState {
        match self.effect_state.as_deref() {
            _ if self.sent_at.is_some() => EmailState::Sent,
            _ if self.suppressed.is_some() => EmailState::Suppressed,
            Some("pending") => EmailState::Pending,
            Some("dead") => EmailState::Dead,
            // Discarded, and perhaps so long ago that it was purged.
            _ => EmailState::Discarded,
        }
    }
}

/// `query_as!` of [`Notification`]s, from the FROM clause on, which names `notifications` n and their effects e.
macro_rules! notification_rows {
    ($from:literal, $($value:expr),* $(,)?) => {
        sqlx::query_as!(
            super::notifications::Notification,
            r#"SELECT n.id AS "id: schema::ids::NotificationId", n.event_id AS "event_id: schema::ids::EventId", n.event_type,
                  n.order_id AS "order_id: schema::ids::OrderId", n.product, n.quantity,
                  n.created_at AS "created_at: chrono::DateTime<chrono::Utc>", n.sent_at AS "sent_at: chrono::DateTime<chrono::Utc>",
                  n.suppressed AS "suppressed: crate::suppression::HeldBack",
                  e.attempts AS "attempts?", e.last_error AS "last_error?", e.state AS "effect_state?"
           "# + $from,
            $($value),*
        )
    };
}
pub(super) use notification_rows;

/// A row, in the order of the columns of [`insert_all`].
#[derive(Serialize)]
struct Row<'a>(Simple, Simple, &'static str, Simple, &'a str, u32);

/// Writes the effects of events: all of them, or none if one of the keys is taken. Locks the keys of the notifications and
/// the events until the transaction ends.
///
/// # Errors
/// Any fault but a taken key.
pub async fn insert_all(tx: &mut Transaction, notifications: &[&NewNotification]) -> sqlx::Result<Receipt> {
    let rows = notifications.iter().map(|new| {
        let (id, event_id, order_id) = (new.id.0.simple(), new.event_id.0.simple(), new.order_id.0.simple());
        Row(id, event_id, new.topic.as_str(), order_id, &new.product, new.quantity)
    });
    let inserted = sqlx::query!(
        "INSERT INTO notifications (id, event_id, event_type, order_id, product, quantity)
         SELECT UNHEX(id), UNHEX(event_id), event_type, UNHEX(order_id), product, quantity
         FROM JSON_TABLE(?, '$[*]' COLUMNS (id         CHAR(32)                          PATH '$[0]',
                                            event_id   CHAR(32)                          PATH '$[1]',
                                            event_type VARCHAR(100)                      PATH '$[2]',
                                            order_id   CHAR(32)                          PATH '$[3]',
                                            product    VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[4]',
                                            quantity   INT UNSIGNED                      PATH '$[5]')) AS list",
        Json(rows.collect::<Vec<_>>()),
    )
    .execute(&mut *tx)
    .await;
    Receipt::of(inserted)
}

/// What was ordered.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
}

/// What the first notification of an order says about it; none before there is one. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn ordered(tx: &mut Transaction, order_id: OrderId) -> sqlx::Result<Option<Ordered>> {
    sqlx::query_as!(
        Ordered,
        "SELECT product, quantity
         FROM notifications
         WHERE order_id = ?
         ORDER BY id
         LIMIT 1",
        order_id,
    )
    .fetch_optional(&mut *tx)
    .await
}

/// Records that the transport took the email. Locks the notification.
///
/// # Errors
/// Any fault.
pub async fn sent(tx: &mut Transaction, id: NotificationId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE notifications SET sent_at = UTC_TIMESTAMP(6) WHERE id = ? AND sent_at IS NULL", id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Records why the recipient got no email. Locks the notification.
///
/// # Errors
/// Any fault.
pub async fn suppressed(tx: &mut Transaction, id: NotificationId, cause: HeldBack) -> sqlx::Result<()> {
    sqlx::query!("UPDATE notifications SET suppressed = ? WHERE id = ?", cause.as_str(), id).execute(&mut *tx).await?;
    Ok(())
}

/// How many emails were sent, counted up to [`effect::COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count_sent(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "emails!: i64"
           FROM (SELECT 1 FROM notifications WHERE ended = 'sent' LIMIT ?) AS counted"#,
        effect::COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// Deletes notifications that are so old, the oldest first; one whose email waits or is dead stays. The ids begin with the
/// milliseconds since 1970, so the primary key serves. Locks those rows.
///
/// # Errors
/// Any fault.
pub async fn purge(pool: &Pool, age_min: Duration, rows_max: u32) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE n
         FROM (SELECT id
               FROM notifications
               WHERE id < UNHEX(RPAD(LPAD(HEX((UNIX_TIMESTAMP() - ?) * 1000), 12, '0'), 32, '0'))
                 AND created_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
                 AND NOT EXISTS (SELECT 1
                                 FROM effect
                                 WHERE effect.id = notifications.id AND effect.state IN ('pending', 'dead'))
               ORDER BY id
               LIMIT ?) AS old
         STRAIGHT_JOIN notifications AS n ON n.id = old.id",
        age_min.as_secs(),
        age_min.as_secs(),
        rows_max,
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

/// How many emails were held back for this cause, counted up to [`COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count_held_back(pool: &Pool, cause: HeldBack) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "emails!: i64"
           FROM (SELECT 1 FROM notifications WHERE ended = ? LIMIT ?) AS counted"#,
        cause.as_str(),
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// One notification. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn find(pool: &Pool, id: NotificationId) -> sqlx::Result<Option<Notification>> {
    notification_rows!(
        "FROM notifications AS n
           LEFT JOIN effect AS e ON e.id = n.id
           WHERE n.id = ?",
        id,
    )
    .fetch_optional(pool)
    .await
}
