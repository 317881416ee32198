//! Filling and watching the outbox of a benchmark.

use sqlx::MySqlPool;

/// Rows of one statement.
const CHUNK: u64 = 20_000;

/// Appends events as they wait for the relay: one order each, about 300 bytes with what belongs to it.
pub(super) async fn append_pending(pool: &MySqlPool, events: u64) -> sqlx::Result<()> {
    append(pool, events, false).await
}

/// Appends events that were published before.
pub(super) async fn append_published(pool: &MySqlPool, events: u64) -> sqlx::Result<()> {
    append(pool, events, true).await
}

async fn append(pool: &MySqlPool, events: u64, published: bool) -> sqlx::Result<()> {
    let mut left = events;
    while left > 0 {
        let rows = left.min(CHUNK);
        sqlx::query(
            r#"INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload,
                                   state, published_at)
               SELECT UNHEX(LEFT(SHA2(UUID(), 256), 32)),
                      'order',
                      UNHEX(LEFT(SHA2(UUID(), 256), 32)),
                      1,
                      'order.created',
                      'order.created',
                      '{"order_id": "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10", "product": "Espresso machine with a grinder", "quantity": 2, "email": "ada.lovelace@example.com", "created_at": "2026-11-22T11:30:00.123456Z"}',
                      IF(?, 'published', 'pending'),
                      IF(?, UTC_TIMESTAMP(6), '1970-01-01')
               FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', ? - 1), ']'), '$[*]' COLUMNS (n INT PATH '$')) AS list"#,
        )
        .bind(published)
        .bind(published)
        .bind(rows)
        .execute(pool)
        .await?;
        left -= rows;
    }
    Ok(())
}

/// Whether an event is settled. Asked often while the relay works, so by the key: an index by state is full of entries
/// that its settles left behind.
pub(super) async fn is_published(pool: &MySqlPool, seq: u64) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT state = 'published' FROM outbox WHERE seq = ?").bind(seq).fetch_one(pool).await
}

/// The first and the last pending event.
pub(super) async fn pending_range(pool: &MySqlPool) -> sqlx::Result<Option<(u64, u64)>> {
    let range: (Option<u64>, Option<u64>) =
        sqlx::query_as("SELECT MIN(seq), MAX(seq) FROM outbox WHERE state = 'pending'").fetch_one(pool).await?;
    Ok(range.0.zip(range.1))
}

/// The oldest pending event.
pub(super) async fn oldest_pending(pool: &MySqlPool) -> sqlx::Result<Option<u64>> {
    sqlx::query_scalar("SELECT seq FROM outbox WHERE state = 'pending' ORDER BY seq LIMIT 1").fetch_optional(pool).await
}

/// How many are pending.
pub(super) async fn count_pending(pool: &MySqlPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE state = 'pending'").fetch_one(pool).await
}
