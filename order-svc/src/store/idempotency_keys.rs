//! The table `idempotency_keys`: which order a client's key has placed.

use runtime::mysql::rows::{self, Inserts};
use runtime::mysql::{Pool, Transaction};
use schema::ids::OrderId;
use sqlx::{query, query_scalar};

use super::Receipt;
use crate::config::IDEMPOTENCY_TTL;
use crate::domain::IdempotencyKey;

static INSERTS: Inserts = runtime::inserts!(
    "INSERT INTO idempotency_keys (idempotency_key, order_id, expires_at) VALUES ",
    "(?, ?, UTC_TIMESTAMP(6) + INTERVAL ? SECOND)"
);

/// Takes keys for orders, by a plain INSERT. Locks the keys' rows: whoever brings the same key waits here until this
/// transaction ends, which is why two at once make one order.
///
/// # Errors
/// As the database has it; if one of them is taken, [`Receipt::Duplicate`].
pub async fn take(tx: &mut Transaction, keys: &[(&IdempotencyKey, OrderId)]) -> sqlx::Result<Receipt> {
    for (insert, keys) in rows::pieces(&INSERTS, keys) {
        let mut insert = query(insert);
        for (key, id) in keys {
            insert = insert.bind(key.as_str()).bind(id).bind(IDEMPOTENCY_TTL.as_secs());
        }
        if Receipt::of(insert.execute(&mut *tx).await)? == Receipt::Duplicate {
            return Ok(Receipt::Duplicate);
        }
    }
    Ok(Receipt::First)
}

/// As many keys as a group has orders.
static TAKEN: &str = concat!(
    "SELECT idempotency_key FROM idempotency_keys FORCE INDEX (PRIMARY) WHERE idempotency_key IN (",
    runtime::inserts!(@64 "?"),
    ") FOR UPDATE NOWAIT"
);

/// Which of the keys, 64 at most, are taken. Locks their rows and waits for nobody: if a transaction under way has one of
/// them, that is an error.
///
/// # Errors
/// As the database has it.
pub async fn taken(tx: &mut Transaction, keys: &[&IdempotencyKey]) -> sqlx::Result<Vec<String>> {
    let Some(last) = keys.last() else { return Ok(Vec::new()) };
    let padded = keys.iter().chain(std::iter::repeat(last)).take(64);
    let find = padded.fold(query_scalar(TAKEN), |find, key| find.bind(key.as_str()));
    find.fetch_all(&mut *tx).await
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
