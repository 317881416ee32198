//! The table `relay_lease`, which we only look at.

use schema::names;
use sqlx::{MySqlPool, query_scalar};

/// Whether some relay holds the lease of the outbox now, by the database clock. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn is_held(pool: &MySqlPool) -> sqlx::Result<bool> {
    let held = query_scalar!(
        r#"SELECT COUNT(*) AS "held!: i64"
           FROM relay_lease
           WHERE name = ?
             AND holder IS NOT NULL
             AND expires_at > UTC_TIMESTAMP(6)"#,
        names::OUTBOX_LEASE
    )
    .fetch_one(pool)
    .await?;
    Ok(held > 0)
}
