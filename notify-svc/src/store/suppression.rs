//! `suppression`: addresses that get no email, and `suppression_action`, the record of who added and removed them. The database
//! makes addresses lower case, the same way for what is kept and for what is looked up. Each cause has a row of its own.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Receipt, Transaction};
use runtime::operator::decision::By;
use serde::Serialize;

use crate::suppression::Cause;

const REASON_CHARS_MAX: usize = 1000;
/// Where counting stops.
pub const COUNT_MAX: u32 = 100_000;

/// An address that gets nothing, and one of its causes.
#[derive(Clone, Debug, Serialize)]
pub struct Suppressed {
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub added_at: DateTime<Utc>,
    /// Who added it.
    pub added_by: String,
    /// What they said.
    pub reason: String,
    /// The address.
    pub address: String,
}

/// Why this address gets nothing, of several causes the first one; none if it gets emails. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn cause(pool: &Pool, address: &str) -> sqlx::Result<Option<Cause>> {
    let found = sqlx::query!(
        r#"SELECT cause AS "cause: Cause"
           FROM suppression
           WHERE address = LOWER(?)
           ORDER BY cause
           LIMIT 1"#,
        address,
    );
    Ok(found.fetch_optional(pool).await?.map(|found| found.cause))
}

/// Adds an address; a duplicate if it is there for this cause already, which stays as it is. Locks its key until the transaction ends.
///
/// # Errors
/// Any fault but a taken key.
pub async fn add(tx: &mut Transaction, address: &str, cause: Cause, by: By<'_>) -> sqlx::Result<Receipt> {
    let inserted = sqlx::query!(
        "INSERT INTO suppression (address, cause, added_by, reason)
         VALUES (LOWER(?), ?, ?, ?)",
        address,
        cause.as_str(),
        by.actor,
        cut(by.reason),
    )
    .execute(&mut *tx)
    .await;
    let receipt = Receipt::of(inserted)?;
    if receipt == Receipt::First {
        record(tx, ("add", address), cause, by).await?;
    }
    Ok(receipt)
}

/// Removes one cause of an address; false if it is not there for that. Locks its row until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn remove(tx: &mut Transaction, address: &str, cause: Cause, by: By<'_>) -> sqlx::Result<bool> {
    let deleted =
        sqlx::query!("DELETE FROM suppression WHERE address = LOWER(?) AND cause = ?", address, cause.as_str());
    let is_removed = deleted.execute(&mut *tx).await?.rows_affected() == 1;
    if is_removed {
        record(tx, ("remove", address), cause, by).await?;
    }
    Ok(is_removed)
}

async fn record(
    tx: &mut Transaction,
    (action, address): (&'static str, &str),
    cause: Cause,
    by: By<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO suppression_action (actor, action, address, cause, reason)
         VALUES (?, ?, LOWER(?), ?, ?)",
        by.actor,
        action,
        address,
        cause.as_str(),
        cut(by.reason),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// So many addresses above one, with all their causes or with one, by address. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn list(pool: &Pool, cause: Option<Cause>, after: &str, addresses_max: u32) -> sqlx::Result<Vec<Suppressed>> {
    let Some(cause) = cause else {
        return sqlx::query_as!(
            Suppressed,
            r#"SELECT cause AS "cause: Cause", added_at AS "added_at: DateTime<Utc>", added_by, reason, address
               FROM (SELECT DISTINCT address
                     FROM suppression
                     WHERE address > LOWER(?)
                     ORDER BY address
                     LIMIT ?) AS page
               JOIN suppression USING (address)
               ORDER BY address, cause"#,
            after,
            addresses_max,
        )
        .fetch_all(pool)
        .await;
    };
    sqlx::query_as!(
        Suppressed,
        r#"SELECT cause AS "cause: Cause", added_at AS "added_at: DateTime<Utc>", added_by, reason, address
           FROM suppression FORCE INDEX (cause)
           WHERE cause = ? AND address > LOWER(?)
           ORDER BY address
           LIMIT ?"#,
        cause.as_str(),
        after,
        addresses_max,
    )
    .fetch_all(pool)
    .await
}

/// How many addresses get nothing for this cause, counted up to [`COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count(pool: &Pool, cause: Cause) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "addresses!: i64"
           FROM (SELECT 1 FROM suppression WHERE cause = ? LIMIT ?) AS counted"#,
        cause.as_str(),
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// Deletes the record of what was done so long ago, the oldest first, by the index `acted_at`. Locks those rows.
///
/// # Errors
/// Any fault.
pub async fn purge_actions(pool: &Pool, age_min: Duration, rows_max: u32) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM suppression_action
         WHERE acted_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
         ORDER BY acted_at
         LIMIT ?",
        age_min.as_secs(),
        rows_max,
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

fn cut(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}
