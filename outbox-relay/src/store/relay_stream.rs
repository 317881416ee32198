//! The table `relay_stream`: what the relay remembers of the stream, and up to where it is proven.
//!
//! One row, changed by relays only while the lease has their token; a function that changes it says whether it had.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::names::OUTBOX_LEASE;
use schema::sequence::{Seq, StreamSeq};

/// The row as it is now.
#[derive(Clone, Debug, Default)]
pub struct StreamRow {
    /// Its name; none if no relay has checked a stream yet, or it was forgotten.
    pub stream: Option<String>,
    /// None if no relay has checked a stream yet.
    pub created_at: Option<DateTime<Utc>>,
    pub server: String,
    pub first_seq: StreamSeq,
    pub last_seq: StreamSeq,
    pub last_stored_at: Option<DateTime<Utc>>,
    pub deleted: u64,
    pub checked_at: Option<DateTime<Utc>>,
    pub proven_seq: StreamSeq,
    pub proven_stored_at: Option<DateTime<Utc>>,
    /// What the stream held so long ago is proven, or was until a loss; before the first proof, how long ago a relay first
    /// checked. None if none has.
    pub proven_seconds: Option<f64>,
    /// What was published up to this `seq` of the outbox is still to be compared with the stream, once.
    pub history_seq: Option<Seq>,
    pub suspicion: Option<String>,
    /// What the stream drops by itself.
    pub limits: String,
    /// About how many messages its limits dropped before every durable consumer had them.
    pub unread_dropped: u64,
    pub lost_at: Option<DateTime<Utc>>,
    pub lost_sign: Option<String>,
    pub healed: u64,
}

/// The row. Locks nothing.
///
/// # Errors
/// Also if it is not there: a migration makes it, and nobody deletes it.
pub async fn read(pool: &Pool) -> sqlx::Result<StreamRow> {
    sqlx::query_as!(
        StreamRow,
        r#"SELECT stream,
                  created_at AS "created_at: DateTime<Utc>",
                  server,
                  first_seq,
                  last_seq,
                  last_stored_at AS "last_stored_at: DateTime<Utc>",
                  deleted,
                  checked_at AS "checked_at: DateTime<Utc>",
                  proven_seq,
                  proven_stored_at AS "proven_stored_at: DateTime<Utc>",
                  CAST(TIMESTAMPDIFF(MICROSECOND, proven_at, UTC_TIMESTAMP(6)) / 1e6 AS DOUBLE) AS "proven_seconds: f64",
                  history_seq AS "history_seq: Seq",
                  suspicion,
                  limits,
                  unread_dropped,
                  lost_at AS "lost_at: DateTime<Utc>",
                  lost_sign,
                  healed
           FROM relay_stream
           WHERE name = ?"#,
        OUTBOX_LEASE
    )
    .fetch_one(pool)
    .await
}

/// Notes what was seen and proven; no suspicion is left. `proven_for` is how long ago the stream held what is proven now;
/// none if nothing more was proven: the time of the last proof stays, through losses and takeovers, and that of the first
/// check stands in for one, so that its age says how long nothing was proven. Locks the row for the statement.
pub async fn remember(pool: &Pool, token: &str, seen: &StreamRow, proven_for: Option<Duration>) -> sqlx::Result<bool> {
    let proven_for = proven_for.and_then(|time| u64::try_from(time.as_micros()).ok());
    let remembered = sqlx::query!(
        "UPDATE relay_stream
         SET relay_stream.stream           = ?,
             relay_stream.created_at       = ?,
             relay_stream.server           = LEFT(?, 200),
             relay_stream.first_seq        = ?,
             relay_stream.last_seq         = ?,
             relay_stream.last_stored_at   = ?,
             relay_stream.deleted          = ?,
             relay_stream.checked_at       = UTC_TIMESTAMP(6),
             relay_stream.proven_seq       = ?,
             relay_stream.proven_stored_at = ?,
             relay_stream.proven_at        = COALESCE(UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND,
                                                      relay_stream.proven_at,
                                                      UTC_TIMESTAMP(6)),
             relay_stream.history_seq      = ?,
             relay_stream.limits           = LEFT(?, 300),
             relay_stream.unread_dropped   = ?,
             relay_stream.suspicion        = NULL
         WHERE relay_stream.name = ?
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        seen.stream,
        seen.created_at,
        seen.server,
        seen.first_seq,
        seen.last_seq,
        seen.last_stored_at,
        seen.deleted,
        seen.proven_seq,
        seen.proven_stored_at,
        proven_for,
        seen.history_seq,
        seen.limits,
        seen.unread_dropped,
        OUTBOX_LEASE,
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(remembered.rows_affected() == 1)
}

/// Notes a sign of a loss before it is examined, so that a relay that dies over it leaves it to the next one, and takes
/// back what is proven to what still is. Locks the row for the statement.
pub async fn suspect(
    pool: &Pool,
    token: &str,
    sign: &str,
    (proven_seq, proven_stored_at): (StreamSeq, Option<DateTime<Utc>>),
) -> sqlx::Result<bool> {
    let suspected = sqlx::query!(
        "UPDATE relay_stream
         SET relay_stream.suspicion        = ?,
             relay_stream.proven_seq       = ?,
             relay_stream.proven_stored_at = ?
         WHERE relay_stream.name = ?
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        sign,
        proven_seq,
        proven_stored_at,
        OUTBOX_LEASE,
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(suspected.rows_affected() == 1)
}

/// Notes a loss, for people. Locks the row for the statement.
pub async fn record_loss(pool: &Pool, token: &str, sign: &str, healed: u64) -> sqlx::Result<bool> {
    let recorded = sqlx::query!(
        "UPDATE relay_stream
         SET relay_stream.lost_at   = UTC_TIMESTAMP(6),
             relay_stream.lost_sign = ?,
             relay_stream.healed    = relay_stream.healed + ?
         WHERE relay_stream.name = ?
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        sign,
        healed,
        OUTBOX_LEASE,
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// Forgets the stream, but not that events were lost: the next relay takes the one of its settings. Locks the row until the
/// transaction ends.
pub async fn forget(tx: &mut Transaction) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE relay_stream
         SET stream           = NULL,
             created_at       = NULL,
             server           = '',
             first_seq        = 0,
             last_seq         = 0,
             last_stored_at   = NULL,
             deleted          = 0,
             checked_at       = NULL,
             proven_seq       = 0,
             proven_stored_at = NULL,
             proven_at        = NULL,
             history_seq      = NULL,
             limits           = '',
             unread_dropped   = 0,
             suspicion        = NULL
         WHERE name = ?",
        OUTBOX_LEASE
    )
    .execute(&mut *tx)
    .await
    .map(drop)
}
