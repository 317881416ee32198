//! An order placed without order-svc, so that the moment of its commit is known.

use sqlx::MySqlPool;
use uuid::Uuid;

use crate::basket::Basket;

/// Commits an order and its event by the statements of order-svc; the event's key.
pub(super) async fn place(pool: &MySqlPool, order_id: Uuid, event_id: Uuid, payload: &str) -> sqlx::Result<u64> {
    let Basket { product, email } = Basket::random();
    let mut tx = pool.begin().await?;
    sqlx::query(
        "INSERT INTO orders (id, product, quantity, email, status, version, created_at, updated_at)
         VALUES (?, ?, 2, ?, 'placed', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
    )
    .bind(order_id)
    .bind(product)
    .bind(email)
    .execute(&mut *tx)
    .await?;
    let appended = sqlx::query(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
         VALUES (?, 'order', ?, 1, 'order.created', 'order.created', ?)",
    )
    .bind(event_id)
    .bind(order_id.to_string())
    .bind(payload)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(appended.last_insert_id())
}
