//! Filling and watching the outbox of a benchmark.

use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};

/// Rows of one statement.
const CHUNK: u64 = 20_000;

/// Appends events as they wait for the relay: one order each, about 300 bytes with what belongs to it.
pub(super) async fn append_pending(pool: &MySqlPool, events: u64) -> sqlx::Result<()> {
    append(pool, events, None).await
}

/// Appends events that were published so many days ago.
pub(super) async fn append_published(pool: &MySqlPool, events: u64, days_ago: u32) -> sqlx::Result<()> {
    append(pool, events, Some(days_ago)).await
}

/// As [`append_pending`], each chunk in the binary log, as a service's events are.
pub(super) async fn append_logged(connection: &mut MySqlConnection, events: u64) -> sqlx::Result<()> {
    let mut left = events;
    while left > 0 {
        let rows = left.min(CHUNK);
        append_chunk(connection, rows, None).await?;
        left -= rows;
    }
    Ok(())
}

/// Appends pending events that appear all at once, to whoever reads; the first and the last of them.
pub(super) async fn append_at_once(pool: &MySqlPool, events: u64) -> sqlx::Result<(u64, u64)> {
    let mut tx = pool.begin().await?;
    let mut left = events;
    while left > 0 {
        let rows = left.min(CHUNK);
        append_chunk(&mut tx, rows, None).await?;
        left -= rows;
    }
    let range = "SELECT MIN(seq), MAX(seq) FROM outbox WHERE state = 'pending'";
    let range = sqlx::query_as(range).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(range)
}

async fn append(pool: &MySqlPool, events: u64, days_ago: Option<u32>) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    hurry(&mut connection, true).await?;
    let mut left = events;
    while left > 0 {
        let rows = left.min(CHUNK);
        append_chunk(&mut connection, rows, days_ago).await?;
        left -= rows;
    }
    hurry(&mut connection, false).await
}

/// Whether commits need not be on disk, nor in the binary log: what is filled in is no part of what is measured.
async fn hurry(connection: &mut MySqlConnection, is_hurried: bool) -> sqlx::Result<()> {
    let (log, flush) = if is_hurried {
        ("SET SESSION sql_log_bin = 0", "SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    } else {
        ("SET SESSION sql_log_bin = 1", "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    };
    sqlx::raw_sql(log).execute(&mut *connection).await?;
    sqlx::raw_sql(flush).execute(&mut *connection).await?;
    Ok(())
}

/// Ids are UUIDv7, as order-svc makes them: the secondary indexes grow at their end. A chunk takes longer than the
/// millisecond that sets it apart from the next. A published one is like one whose stream is gone: settled, and without a place.
async fn append_chunk(connection: &mut MySqlConnection, rows: u64, days_ago: Option<u32>) -> sqlx::Result<()> {
    sqlx::query(
        r#"INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload,
                               occurred_at, state, published_at, heal_epoch)
           SELECT UNHEX(CONCAT(LPAD(HEX(UNIX_TIMESTAMP(NOW(3)) * 1000), 12, '0'), '70008000', LPAD(HEX(n), 12, '0'))),
                  'order',
                  LOWER(CONCAT(LPAD(HEX(UNIX_TIMESTAMP(NOW(3)) DIV 65.536), 8, '0'), '-', LPAD(HEX(UNIX_TIMESTAMP(NOW(3)) * 1000 MOD 65536), 4, '0'), '-7000-8000-', LPAD(HEX(n), 12, '0'))),
                  1,
                  'order.created',
                  'order.created',
                  '{"order_id": "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10", "product": "Espresso machine with a grinder", "quantity": 2, "created_at": "2026-11-22T11:30:00.123456Z"}',
                  UTC_TIMESTAMP(6) - INTERVAL COALESCE(?, 0) DAY,
                  IF(? IS NULL, 'pending', 'published'),
                  COALESCE(UTC_TIMESTAMP(6) - INTERVAL ? DAY, '1970-01-01'),
                  IF(? IS NULL, 0, 1)
           FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', ? - 1), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS list"#,
    )
    .bind(days_ago)
    .bind(days_ago)
    .bind(days_ago)
    .bind(days_ago)
    .bind(rows)
    .execute(connection)
    .await
    .map(drop)
}

/// The times between two settles of the events from `first` to `last`, in milliseconds, the longest first.
pub(super) async fn pauses(pool: &MySqlPool, first: u64, last: u64) -> sqlx::Result<Vec<f64>> {
    let settles: Vec<DateTime<Utc>> =
        sqlx::query_scalar("SELECT DISTINCT published_at FROM outbox WHERE seq BETWEEN ? AND ? ORDER BY published_at")
            .bind(first)
            .bind(last)
            .fetch_all(pool)
            .await?;
    let pauses = settles.windows(2).map(|pair| (pair[1] - pair[0]).as_seconds_f64() * 1_000.0);
    let mut pauses: Vec<f64> = pauses.collect();
    pauses.sort_by(|one, other| other.total_cmp(one));
    Ok(pauses)
}

/// The first key that is left; 0 if the table is empty.
pub(super) async fn first_seq(pool: &MySqlPool) -> sqlx::Result<u64> {
    let first = sqlx::query_scalar("SELECT seq FROM outbox ORDER BY seq LIMIT 1").fetch_optional(pool).await?;
    Ok(first.unwrap_or(0))
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

/// Events settled a second, by the database's clock: those after the first settle, from then to the last.
pub(super) async fn settled_rate(pool: &MySqlPool, first: u64, last: u64) -> sqlx::Result<f64> {
    sqlx::query_scalar(
        "SELECT CAST(SUM(published_at > begin) / (TIMESTAMPDIFF(MICROSECOND, begin, MAX(published_at)) / 1e6) AS DOUBLE)
         FROM outbox, (SELECT MIN(published_at) AS begin FROM outbox WHERE seq BETWEEN ? AND ?) AS settles
         WHERE seq BETWEEN ? AND ?
         GROUP BY begin",
    )
    .bind(first)
    .bind(last)
    .bind(first)
    .bind(last)
    .fetch_one(pool)
    .await
}
