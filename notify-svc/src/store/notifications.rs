//! `notifications`: the effects of events, as the API lists them. `store/email_queue.rs` reads the same table as a queue.

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
    /// Where its email stands.
    pub state: EmailState,
    /// How often sending was tried and refused or accepted.
    pub attempts: u32,
    /// When the transport took the email.
    pub sent_at: Option<DateTime<Utc>>,
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
        Row(id, event_id, new.event_type.as_str(), order_id, &new.recipient, &new.product, new.quantity)
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
    .execute(&mut **tx)
    .await;
    Receipt::of(inserted)
}

/// A page of the notifications of an order, in any state or in one. Locks nothing.
///
/// # Errors
/// Any fault; `ColumnDecode` if a state is none that this code knows.
pub async fn of_order(
    pool: &Pool,
    order_id: OrderId,
    state: Option<EmailState>,
    page: Page,
) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT id AS "id: NotificationId", event_id AS "event_id: EventId", event_type,
                  order_id AS "order_id: OrderId", recipient, product, quantity,
                  created_at AS "created_at: DateTime<Utc>", state AS "state: EmailState", attempts,
                  sent_at AS "sent_at: DateTime<Utc>"
           FROM notifications
           WHERE order_id = ? AND id < ? AND state = COALESCE(?, state)
           ORDER BY id DESC
           LIMIT ?"#,
        order_id,
        NotificationId(page.below),
        state.map(EmailState::as_str),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of the notifications in a state. Locks nothing. Left to itself MariaDB walks the whole table, in the belief that
/// a page of a rare state must be near.
///
/// # Errors
/// As [`of_order`].
pub async fn in_state(pool: &Pool, state: EmailState, page: Page) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT id AS "id: NotificationId", event_id AS "event_id: EventId", event_type,
                  order_id AS "order_id: OrderId", recipient, product, quantity,
                  created_at AS "created_at: DateTime<Utc>", state AS "state: EmailState", attempts,
                  sent_at AS "sent_at: DateTime<Utc>"
           FROM notifications FORCE INDEX (state_id)
           WHERE state = ? AND id < ?
           ORDER BY id DESC
           LIMIT ?"#,
        state.as_str(),
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
        r#"SELECT id AS "id: NotificationId", event_id AS "event_id: EventId", event_type,
                  order_id AS "order_id: OrderId", recipient, product, quantity,
                  created_at AS "created_at: DateTime<Utc>", state AS "state: EmailState", attempts,
                  sent_at AS "sent_at: DateTime<Utc>"
           FROM notifications
           WHERE id < ?
           ORDER BY id DESC
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
        r#"SELECT id AS "id: NotificationId", event_id AS "event_id: EventId", event_type,
                  order_id AS "order_id: OrderId", recipient, product, quantity,
                  created_at AS "created_at: DateTime<Utc>", state AS "state: EmailState", attempts,
                  sent_at AS "sent_at: DateTime<Utc>"
           FROM notifications
           WHERE id = ?"#,
        id,
    )
    .fetch_optional(pool)
    .await
}
