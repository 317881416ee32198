//! `notifications` as counts of the emails.

use runtime::mysql::Pool;

use crate::notification::EmailState;

/// Where counting stops: nobody waits for a count of millions.
pub const COUNT_MAX: u32 = 100_000;

/// Of the dead emails, so many are asked whether somebody decided about them: the youngest.
pub const UNDECIDED_MAX: u32 = 1000;

/// How many emails are in a state, counted up to [`COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count(pool: &Pool, state: EmailState) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "emails!: i64"
           FROM (SELECT 1 FROM notifications WHERE state = ? LIMIT ?) AS counted"#,
        state.as_str(),
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// How many emails were tried and wait for longer than an hour, counted up to [`COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count_overdue(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "emails!: i64"
           FROM (SELECT 1
                 FROM notifications
                 WHERE state = 'pending' AND is_retry = 1 AND created_at < UTC_TIMESTAMP(6) - INTERVAL 1 HOUR
                 LIMIT ?) AS counted"#,
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// Seconds since the oldest pending email was written, by the database's clock; none if none is pending. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn oldest_pending_seconds(pool: &Pool) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar!(
        r#"SELECT GREATEST(TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)), 0) / 1e6 AS "seconds!: f64"
           FROM notifications FORCE INDEX (state_id)
           WHERE state = 'pending'
           ORDER BY id
           LIMIT 1"#,
    )
    .fetch_optional(pool)
    .await
}

/// How many of the youngest [`UNDECIDED_MAX`] dead emails nobody has decided about. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count_undecided(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "emails!: i64"
           FROM (SELECT discarded_at
                 FROM notifications FORCE INDEX (state_id)
                 WHERE state = 'dead'
                 ORDER BY id DESC
                 LIMIT ?) AS youngest
           WHERE discarded_at IS NULL"#,
        UNDECIDED_MAX,
    )
    .fetch_one(pool)
    .await
}
