//! `notifications` as counts of the emails.

use runtime::mysql::Pool;

use crate::notification::EmailState;

/// Where counting stops: nobody waits for a count of millions.
pub const COUNT_MAX: u32 = 100_000;

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
