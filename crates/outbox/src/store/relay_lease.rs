//! The table `relay_lease`, which a writer only reads.

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use schema::names;
use sqlx::query_as;

/// A relay that holds the lease.
#[derive(Clone, Debug)]
pub(crate) struct ActiveRelay {
    /// Its tenure: the host, the process and what makes it one of its kind.
    pub(crate) holder: String,
    /// How often the lease changed hands.
    pub(crate) epoch: u64,
    /// Why the broker takes no events from it, if it takes none.
    pub(crate) outage: Option<String>,
    /// Since when it takes none.
    pub(crate) outage_since: Option<DateTime<Utc>>,
}

/// The relay that holds the lease of the outbox now, by the database clock. Locks nothing.
///
/// # Errors
/// As the database has it.
pub(crate) async fn active(pool: &Pool) -> sqlx::Result<Option<ActiveRelay>> {
    query_as!(
        ActiveRelay,
        r#"SELECT holder AS "holder!", epoch, outage, outage_since AS "outage_since: DateTime<Utc>"
           FROM relay_lease
           WHERE name = ?
             AND holder IS NOT NULL
             AND expires_at > UTC_TIMESTAMP(6)"#,
        names::OUTBOX_LEASE
    )
    .fetch_optional(pool)
    .await
}
