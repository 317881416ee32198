//! The table `outbox_pause`: subjects that are not published for now.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use serde::Serialize;

/// A pause, for people.
#[derive(Debug, Serialize)]
pub struct PauseRow {
    pub pattern: String,
    pub reason: String,
    pub paused_by: String,
    pub paused_at: DateTime<Utc>,
}

/// The paused patterns. Locks nothing.
pub async fn patterns(pool: &Pool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("SELECT pattern FROM outbox_pause ORDER BY pattern").fetch_all(pool).await
}

/// The pauses with who made them. Locks nothing.
pub async fn list(pool: &Pool) -> sqlx::Result<Vec<PauseRow>> {
    sqlx::query_as!(
        PauseRow,
        r#"SELECT pattern, reason, paused_by, paused_at AS "paused_at: DateTime<Utc>"
           FROM outbox_pause
           ORDER BY pattern"#
    )
    .fetch_all(pool)
    .await
}

/// Adds a pause. Fails with a unique violation if the pattern is paused already.
pub async fn add(tx: &mut Transaction, pattern: &str, reason: &str, actor: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO outbox_pause (pattern, reason, paused_by)
         VALUES (?, ?, ?)",
        pattern,
        reason,
        actor
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Removes a pause; whether there was one. Locks its row until the transaction ends.
pub async fn remove(tx: &mut Transaction, pattern: &str) -> sqlx::Result<bool> {
    let removed = sqlx::query!("DELETE FROM outbox_pause WHERE pattern = ?", pattern).execute(&mut *tx).await?;
    Ok(removed.rows_affected() == 1)
}
