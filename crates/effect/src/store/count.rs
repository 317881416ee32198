//! `effect` as a few numbers, each by an index and bounded.

use std::time::Duration;

use runtime::mysql::Pool;

/// Where counting stops.
pub const COUNT_MAX: u32 = 100_000;

/// How a queue stands.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// To be performed, or under way; at most [`COUNT_MAX`], as the other counts.
    pub pending: i64,
    /// In need of a person.
    pub dead: i64,
    /// Pending, tried before, and older than an hour.
    pub overdue: i64,
    /// Of the oldest that is pending; zero if none is.
    pub oldest_age: Duration,
}

/// Counts what is pending, dead and overdue by the index `tries`; the age is that of the first pending effect by
/// id. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn sample(pool: &Pool, queue: &str) -> sqlx::Result<Sample> {
    let row = sqlx::query!(
        r#"SELECT
             (SELECT COUNT(*) FROM (SELECT 1 FROM effect WHERE queue = ? AND state = 'pending' LIMIT ?) AS p) AS "pending!: i64",
             (SELECT COUNT(*) FROM (SELECT 1 FROM effect WHERE queue = ? AND state = 'dead' LIMIT ?) AS d) AS "dead!: i64",
             (SELECT COUNT(*)
              FROM (SELECT 1 FROM effect
                    WHERE queue = ? AND state = 'pending' AND is_retry = 1 AND created_at < UTC_TIMESTAMP(6) - INTERVAL 1 HOUR
                    LIMIT ?) AS o) AS "overdue!: i64",
             (SELECT TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6))
              FROM effect FORCE INDEX (state_id)
              WHERE state = 'pending' AND queue = ?
              ORDER BY id
              LIMIT 1) AS "age_us: i64""#,
        queue,
        COUNT_MAX,
        queue,
        COUNT_MAX,
        queue,
        COUNT_MAX,
        queue,
    )
    .fetch_one(pool)
    .await?;
    // A database clock that was set back makes no age negative.
    let age_us = row.age_us.and_then(|us| u64::try_from(us).ok()).unwrap_or(0);
    let oldest_age = Duration::from_micros(age_us);
    Ok(Sample { pending: row.pending, dead: row.dead, overdue: row.overdue, oldest_age })
}
