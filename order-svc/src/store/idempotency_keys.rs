//! The table `idempotency_keys`: which order a client's key has placed.

use runtime::mysql::{Pool, Transaction};
use schema::ids::OrderId;
use sqlx::query;

use super::Receipt;
use crate::config::IDEMPOTENCY_TTL;
use crate::domain::IdempotencyKey;

/// Takes the key for an order, by a plain INSERT. Locks the key's row: whoever brings the same key waits here until this
/// transaction ends, which is why two at once make one order.
///
/// # Errors
/// As the database has it; a taken key is a [`Receipt::Duplicate`].
pub async fn take(tx: &mut Transaction, key: &IdempotencyKey, id: OrderId) -> sqlx::Result<Receipt> {
    let inserted = query!(
        "INSERT INTO idempotency_keys (idempotency_key, order_id, expires_at)
         VALUES (?, ?, UTC_TIMESTAMP(6) + INTERVAL ? SECOND)",
        key.as_str(),
        id,
        IDEMPOTENCY_TTL.as_secs(),
    )
    .execute(&mut **tx)
    .await;
    Receipt::of(inserted)
}

/// A key that is taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// What it has placed.
    pub order_id: OrderId,
    /// Whether its time is over, by the database clock.
    pub expired: bool,
}

/// Reads who has a key. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn find(pool: &Pool, key: &IdempotencyKey) -> sqlx::Result<Option<Taken>> {
    let row = query!(
        r#"SELECT order_id AS "order_id: OrderId", expires_at <= UTC_TIMESTAMP(6) AS "expired!: i32"
           FROM idempotency_keys
           WHERE idempotency_key = ?"#,
        key.as_str()
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Taken { order_id: row.order_id, expired: row.expired != 0 }))
}

/// Frees a key whose time is over. Locks its row.
///
/// # Errors
/// As the database has it.
pub async fn free_expired(pool: &Pool, key: &IdempotencyKey) -> sqlx::Result<()> {
    query!(
        "DELETE FROM idempotency_keys
         WHERE idempotency_key = ?
           AND expires_at <= UTC_TIMESTAMP(6)",
        key.as_str()
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Deletes the keys that expired first, `limit` at most, and says how many. Locks their rows, by the index `expiry`.
///
/// # Errors
/// As the database has it.
pub async fn purge(pool: &Pool, limit: u32) -> sqlx::Result<u64> {
    let purged = query!(
        "DELETE FROM idempotency_keys
         WHERE expires_at <= UTC_TIMESTAMP(6)
         ORDER BY expires_at
         LIMIT ?",
        limit
    )
    .execute(pool)
    .await?;
    Ok(purged.rows_affected())
}
