//! The table `relay_lease`: who drains the outbox.
//!
//! `holder` names one tenure of one relay and no other ever: it is the token that every statement of the relay compares.
//! `epoch` counts the tenures for people; after a failover or a restore it may come back. The database clock decides nothing
//! here: a standby takes the lease when the row has not changed for a lease time by its own clock. The holder writes here too
//! why the broker takes nothing from it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;

/// The row as it is now.
#[derive(Clone, Debug)]
pub struct LeaseRow {
    /// The token of the tenure; none when it was released.
    pub holder: Option<String>,
    /// How often the holder changed.
    pub epoch: u64,
    /// Moves with each renewal.
    pub expires_at: DateTime<Utc>,
    /// Whether it has not expired by the database clock, for people.
    pub is_alive: bool,
    /// Why the broker takes no events from the holder, if it takes none.
    pub outage: Option<String>,
    /// Since when it takes none.
    pub outage_since: Option<DateTime<Utc>>,
}

impl LeaseRow {
    /// Whether nobody took or renewed the lease between two reads.
    pub fn is_unchanged(&self, before: &Self) -> bool {
        (&self.holder, self.epoch, self.expires_at) == (&before.holder, before.epoch, before.expires_at)
    }
}

/// Takes the lease if its row is still as it was seen; whether it was. What the row says of an outage stays if the broker is
/// to be tried in its holder's place. Locks its row for the statement: a relay that is lost in a transaction here would keep
/// all others from it.
pub async fn take(
    pool: &Pool,
    name: &str,
    seen: &LeaseRow,
    (token, time): (&str, Duration),
    keeps_outage: bool,
) -> sqlx::Result<bool> {
    let taken = sqlx::query!(
        "UPDATE relay_lease
         SET holder       = ?,
             epoch        = epoch + 1,
             expires_at   = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
             outage       = IF(?, outage, NULL),
             outage_since = IF(?, outage_since, NULL)
         WHERE name = ?
           AND holder <=> ?
           AND epoch = ?
           AND expires_at = ?",
        token,
        micros(time),
        keeps_outage,
        keeps_outage,
        name,
        seen.holder,
        seen.epoch,
        seen.expires_at
    )
    .execute(pool)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Extends the lease; whether it was still ours. Locks its row for the statement.
pub async fn renew(pool: &Pool, name: &str, token: &str, time: Duration) -> sqlx::Result<bool> {
    let renewed = sqlx::query!(
        "UPDATE relay_lease
         SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE name = ?
           AND holder = ?",
        micros(time),
        name,
        token
    )
    .execute(pool)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Gives the lease up, so that another relay takes over at once; whether it was still ours.
pub async fn release(pool: &Pool, name: &str, token: &str) -> sqlx::Result<bool> {
    let released = sqlx::query!(
        "UPDATE relay_lease
         SET holder       = NULL,
             expires_at   = UTC_TIMESTAMP(6),
             outage       = NULL,
             outage_since = NULL
         WHERE name = ?
           AND holder = ?",
        name,
        token
    )
    .execute(pool)
    .await?;
    Ok(released.rows_affected() == 1)
}

/// Keeps why the broker takes no events, and since when; none when it takes them. Changes nothing if the lease is another's.
/// Locks its row for the statement.
pub async fn note_outage(pool: &Pool, name: &str, token: &str, outage: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE relay_lease
         SET outage       = LEFT(?, 1000),
             outage_since = IF(? IS NULL, NULL, COALESCE(outage_since, UTC_TIMESTAMP(6)))
         WHERE name = ?
           AND holder = ?",
        outage,
        outage,
        name,
        token
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The lease as it is. An expiry more than an hour ahead is not alive: no lease is longer, so the database clock was set back.
/// Locks nothing.
pub async fn read(pool: &Pool, name: &str) -> sqlx::Result<Option<LeaseRow>> {
    sqlx::query_as!(
        LeaseRow,
        r#"SELECT holder, epoch, expires_at AS "expires_at: DateTime<Utc>",
                  (holder IS NOT NULL AND expires_at > UTC_TIMESTAMP(6)
                   AND expires_at <= UTC_TIMESTAMP(6) + INTERVAL 1 HOUR) AS "is_alive!: bool",
                  outage, outage_since AS "outage_since: DateTime<Utc>"
           FROM relay_lease
           WHERE name = ?"#,
        name
    )
    .fetch_optional(pool)
    .await
}

/// Whether this tenure still has the lease. Locks nothing.
pub async fn is_held(pool: &Pool, name: &str, token: &str) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!("SELECT epoch FROM relay_lease WHERE name = ? AND holder = ?", name, token);
    Ok(held.fetch_optional(pool).await?.is_some())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
