//! `notifications`: the effects of events, as the API lists them. What becomes of an email is in `effect`, with the notification's
//! id, until that is purged.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use runtime::page::Page;
use schema::ids::{EventId, NotificationId, OrderId};
use serde::Serialize;
use sqlx::types::Json;
use uuid::fmt::Simple;

use super::Receipt;
use crate::notification::{EmailState, NewNotification};

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
    /// The customer's address.
    pub recipient: String,
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// When the effect was written.
    pub created_at: DateTime<Utc>,
    /// When the transport took the email.
    pub sent_at: Option<DateTime<Utc>>,
    /// How often sending was tried and refused or accepted; none if nobody keeps that any more.
    pub attempts: Option<u32>,
    /// What the last try said that did not send it.
    pub last_error: Option<String>,
    effect_state: Option<String>,
}

impl Notification {
    /// Where its email stands.
    pub fn state(&self) -> EmailState {
        match self.effect_state.as_deref() {
            _ if self.sent_at.is_some() => EmailState::Sent,
            Some("pending") => EmailState::Pending,
            Some("dead") => EmailState::Dead,
            // Discarded, and perhaps so long ago that it was purged.
            _ => EmailState::Discarded,
        }
    }
}

/// A row, in the order of the columns of [`insert_all`].
#[derive(Serialize)]
struct Row<'a>(Simple, Simple, &'static str, Simple, &'a str, &'a str, u32);

/// Writes the effect of an event; a duplicate if the event has one already. Locks the keys of the notification and
/// the event until the transaction ends.
///
/// # Errors
/// Any fault but a taken key.
pub async fn insert(tx: &mut Transaction, notification: &NewNotification) -> sqlx::Result<Receipt> {
    insert_all(tx, &[notification]).await
}

/// As [`insert`], for many events: all of them, or none if one of the keys is taken.
///
/// # Errors
/// Any fault but a taken key.
pub async fn insert_all(tx: &mut Transaction, notifications: &[&NewNotification]) -> sqlx::Result<Receipt> {
    let rows = notifications.iter().map(|new| {
        let (id, event_id, order_id) = (new.id.0.simple(), new.event_id.0.simple(), new.order_id.0.simple());
        Row(id, event_id, new.topic.as_str(), order_id, &new.recipient, &new.product, new.quantity)
    });
    let inserted = sqlx::query!(
        "INSERT INTO notifications (id, event_id, event_type, order_id, recipient, product, quantity)
         SELECT UNHEX(id), UNHEX(event_id), event_type, UNHEX(order_id), recipient, product, quantity
         FROM JSON_TABLE(?, '$[*]' COLUMNS (id         CHAR(32)                          PATH '$[0]',
                                            event_id   CHAR(32)                          PATH '$[1]',
                                            event_type VARCHAR(100)                      PATH '$[2]',
                                            order_id   CHAR(32)                          PATH '$[3]',
                                            recipient  VARCHAR(254) CHARACTER SET utf8mb4 PATH '$[4]',
                                            product    VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[5]',
                                            quantity   INT UNSIGNED                      PATH '$[6]')) AS list",
        Json(rows.collect::<Vec<_>>()),
    )
    .execute(&mut *tx)
    .await;
    Receipt::of(inserted)
}

/// Whom an order is for, and what was ordered.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The customer's address.
    pub recipient: String,
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
}

/// What the first notification of an order says about it; none before there is one. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn customer(tx: &mut Transaction, order_id: OrderId) -> sqlx::Result<Option<Customer>> {
    sqlx::query_as!(
        Customer,
        "SELECT recipient, product, quantity
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

/// How many emails were sent, counted up to [`effect::COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count_sent(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "emails!: i64"
           FROM (SELECT 1 FROM notifications WHERE is_sent = 1 LIMIT ?) AS counted"#,
        effect::COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// A page of the notifications of an order, in any state or in one. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn of_order(
    pool: &Pool,
    order_id: OrderId,
    state: Option<EmailState>,
    page: Page,
) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT n.id AS "id: NotificationId", n.event_id AS "event_id: EventId", n.event_type,
                  n.order_id AS "order_id: OrderId", n.recipient, n.product, n.quantity,
                  n.created_at AS "created_at: DateTime<Utc>", n.sent_at AS "sent_at: DateTime<Utc>",
                  e.attempts AS "attempts?", e.last_error AS "last_error?", e.state AS "effect_state?"
           FROM notifications AS n
           LEFT JOIN effect AS e ON e.id = n.id
           WHERE n.order_id = ? AND n.id < ?
             AND (? IS NULL OR ? = CASE WHEN n.sent_at IS NOT NULL THEN 'sent'
                                        WHEN e.state IN ('pending', 'dead') THEN e.state
                                        ELSE 'discarded' END)
           ORDER BY n.id DESC
           LIMIT ?"#,
        order_id,
        NotificationId(page.below),
        state.map(EmailState::as_str),
        state.map(EmailState::as_str),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of the notifications with their email in a state. Locks nothing. Left to itself MariaDB walks the whole
/// table, in the belief that a page of a rare state must be near.
///
/// # Errors
/// As [`of_order`].
pub async fn in_state(pool: &Pool, state: EmailState, page: Page) -> sqlx::Result<Vec<Notification>> {
    if state == EmailState::Sent {
        return sent_page(pool, page).await;
    }
    sqlx::query_as!(
        Notification,
        r#"SELECT n.id AS "id: NotificationId", n.event_id AS "event_id: EventId", n.event_type,
                  n.order_id AS "order_id: OrderId", n.recipient, n.product, n.quantity,
                  n.created_at AS "created_at: DateTime<Utc>", n.sent_at AS "sent_at: DateTime<Utc>",
                  e.attempts AS "attempts?", e.last_error AS "last_error?", e.state AS "effect_state?"
           FROM effect AS e FORCE INDEX (state_id)
           STRAIGHT_JOIN notifications AS n ON n.id = e.id
           WHERE e.state = ? AND e.id < ?
           ORDER BY e.id DESC
           LIMIT ?"#,
        state.as_str(),
        NotificationId(page.below),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of the notifications whose email was sent. Locks nothing.
async fn sent_page(pool: &Pool, page: Page) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT n.id AS "id: NotificationId", n.event_id AS "event_id: EventId", n.event_type,
                  n.order_id AS "order_id: OrderId", n.recipient, n.product, n.quantity,
                  n.created_at AS "created_at: DateTime<Utc>", n.sent_at AS "sent_at: DateTime<Utc>",
                  e.attempts AS "attempts?", e.last_error AS "last_error?", e.state AS "effect_state?"
           FROM notifications AS n FORCE INDEX (is_sent)
           LEFT JOIN effect AS e ON e.id = n.id
           WHERE n.is_sent = 1 AND n.id < ?
           ORDER BY n.id DESC
           LIMIT ?"#,
        NotificationId(page.below),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of all notifications. Locks nothing.
///
/// # Errors
/// As [`of_order`].
pub async fn all(pool: &Pool, page: Page) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT n.id AS "id: NotificationId", n.event_id AS "event_id: EventId", n.event_type,
                  n.order_id AS "order_id: OrderId", n.recipient, n.product, n.quantity,
                  n.created_at AS "created_at: DateTime<Utc>", n.sent_at AS "sent_at: DateTime<Utc>",
                  e.attempts AS "attempts?", e.last_error AS "last_error?", e.state AS "effect_state?"
           FROM notifications AS n
           LEFT JOIN effect AS e ON e.id = n.id
           WHERE n.id < ?
           ORDER BY n.id DESC
           LIMIT ?"#,
        NotificationId(page.below),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// One notification. Locks nothing.
///
/// # Errors
/// As [`of_order`].
pub async fn find(pool: &Pool, id: NotificationId) -> sqlx::Result<Option<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT n.id AS "id: NotificationId", n.event_id AS "event_id: EventId", n.event_type,
                  n.order_id AS "order_id: OrderId", n.recipient, n.product, n.quantity,
                  n.created_at AS "created_at: DateTime<Utc>", n.sent_at AS "sent_at: DateTime<Utc>",
                  e.attempts AS "attempts?", e.last_error AS "last_error?", e.state AS "effect_state?"
           FROM notifications AS n
           LEFT JOIN effect AS e ON e.id = n.id
           WHERE n.id = ?"#,
        id,
    )
    .fetch_optional(pool)
    .await
}
