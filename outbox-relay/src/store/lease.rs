//! The table `relay_lease`: who drains the outbox.
//!
//! The database clock decides, so relays need not agree on the time. `epoch` grows with every change of holder and
//! is the fencing token of every settle. The holder writes here too why the broker takes nothing from it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;

/// The row as it is now.
#[derive(Debug)]
pub struct LeaseRow {
    /// Who holds it; none when it was released.
    pub holder: Option<String>,
    /// How often the holder changed.
    pub epoch: u64,
    /// Whether it has not expired.
    pub is_alive: bool,
    /// Why the broker takes no events from the holder, if it takes none.
    pub outage: Option<String>,
    /// Since when it takes none.
    pub outage_since: Option<DateTime<Utc>>,
}

/// Takes the lease if it is free or has expired; whether it was. Locks its row for the statement: a relay that is lost in a
/// transaction here would keep all others from it.
pub async fn take(pool: &Pool, name: &str, holder: &str, time: Duration) -> sqlx::Result<bool> {
    let taken = sqlx::query!(
        "UPDATE relay_lease
         SET holder       = ?,
             epoch        = epoch + 1,
             expires_at   = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
             outage       = NULL,
             outage_since = NULL
         WHERE name = ?
           AND (holder IS NULL OR expires_at <= UTC_TIMESTAMP(6))",
        holder,
        micros(time),
        name
    )
    .execute(pool)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// The epoch of the lease if this holder has it. Locks nothing.
pub async fn epoch(pool: &Pool, name: &str, holder: &str) -> sqlx::Result<Option<u64>> {
    sqlx::query_scalar!("SELECT epoch FROM relay_lease WHERE name = ? AND holder = ?", name, holder)
        .fetch_optional(pool)
        .await
}

/// Extends the lease; whether it was still ours. Locks its row for the statement.
pub async fn renew(pool: &Pool, name: &str, epoch: u64, time: Duration) -> sqlx::Result<bool> {
    let renewed = sqlx::query!(
        "UPDATE relay_lease
         SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE name = ?
           AND epoch = ?
           AND holder IS NOT NULL",
        micros(time),
        name,
        epoch
    )
    .execute(pool)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Gives the lease up, so that another relay takes over at once; whether it was still ours.
pub async fn release(pool: &Pool, name: &str, epoch: u64) -> sqlx::Result<bool> {
    let released = sqlx::query!(
        "UPDATE relay_lease
         SET holder       = NULL,
             expires_at   = UTC_TIMESTAMP(6),
             outage       = NULL,
             outage_since = NULL
         WHERE name = ?
           AND epoch = ?",
        name,
        epoch
    )
    .execute(pool)
    .await?;
    Ok(released.rows_affected() == 1)
}

/// Keeps why the broker takes no events, and since when; none when it takes them. Changes nothing if the lease is another's.
/// Locks its row for the statement.
pub async fn note_outage(pool: &Pool, name: &str, epoch: u64, outage: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE relay_lease
         SET outage       = LEFT(?, 1000),
             outage_since = IF(? IS NULL, NULL, COALESCE(outage_since, UTC_TIMESTAMP(6)))
         WHERE name = ?
           AND epoch = ?",
        outage,
        outage,
        name,
        epoch
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The lease for people to look at. Locks nothing.
pub async fn look(pool: &Pool, name: &str) -> sqlx::Result<Option<LeaseRow>> {
    sqlx::query_as!(
        LeaseRow,
        r#"SELECT holder, epoch, (holder IS NOT NULL AND expires_at > UTC_TIMESTAMP(6)) AS "is_alive!: bool",
                  outage, outage_since AS "outage_since: DateTime<Utc>"
           FROM relay_lease
           WHERE name = ?"#,
        name
    )
    .fetch_optional(pool)
    .await
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
