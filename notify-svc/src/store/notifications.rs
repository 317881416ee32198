//! `notifications`: the effects of events, as the API lists them. `store/email_queue.rs` reads the same table as a queue.

use chrono::{DateTime, Utc};
use schema::ids::{EventId, NotificationId, OrderId};
use sqlx::{MySql, MySqlPool, Transaction};

use super::Receipt;
use crate::notification::{EmailState, NewNotification};

/// Notifications that one answer lists at most. An order has a handful.
const LISTED_MAX: u32 = 100;

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
    /// Where its email stands.
    pub state: EmailState,
    /// How often sending was tried and refused or accepted.
    pub attempts: u32,
    /// When the transport took the email.
    pub sent_at: Option<DateTime<Utc>>,
}

/// Writes the effect of an event; a duplicate if the event has one already. Locks the keys of the notification and
/// the event until the transaction ends.
///
/// # Errors
/// Any fault but a taken key.
pub async fn insert(tx: &mut Transaction<'_, MySql>, notification: &NewNotification) -> sqlx::Result<Receipt> {
    let inserted = sqlx::query!(
        "INSERT INTO notifications (id, event_id, event_type, order_id, recipient, product, quantity)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        notification.id,
        notification.event_id,
        notification.event_type.as_str(),
        notification.order_id,
        notification.recipient,
        notification.product,
        notification.quantity,
    )
    .execute(&mut **tx)
    .await;
    Receipt::of(inserted)
}

/// The notifications of an order, oldest first. Locks nothing.
///
/// # Errors
/// Any fault; `ColumnDecode` if a state is none that this code knows.
pub async fn list(pool: &MySqlPool, order_id: OrderId) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT id AS "id: NotificationId", event_id AS "event_id: EventId", event_type,
                  order_id AS "order_id: OrderId", recipient, product, quantity,
                  created_at AS "created_at: DateTime<Utc>", state AS "state: EmailState", attempts,
                  sent_at AS "sent_at: DateTime<Utc>"
           FROM notifications
           WHERE order_id = ?
           ORDER BY id
           LIMIT ?"#,
        order_id,
        LISTED_MAX,
    )
    .fetch_all(pool)
    .await
}
