//! The table `outbox_discarded`: events that a person gave up, as they were.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::sequence::Seq;
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::column::JsonText;

/// A record for people.
#[derive(Debug, Serialize)]
pub struct DiscardedRow {
    pub discarded_at: DateTime<Utc>,
    pub discarded_by: String,
    pub reason: String,
    pub event_type: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_version: Option<u32>,
    pub subject: String,
    pub payload: JsonText,
    pub last_error: Option<String>,
}

/// Copies events from the outbox before they are discarded; a date that is none, which the records don't take, as 1970.
/// Locks their rows against writers until the transaction ends.
pub async fn record(tx: &mut Transaction, seqs: &[Seq], actor: &str, reason: &str) -> sqlx::Result<u64> {
    let recorded = sqlx::query!(
        "INSERT INTO outbox_discarded (discarded_by, reason, seq, event_id, aggregate_type, aggregate_id,
                                       aggregate_version, event_type, subject, payload, headers, occurred_at, last_error)
         SELECT LEFT(?, 100), ?, outbox.seq, outbox.event_id, outbox.aggregate_type, outbox.aggregate_id,
                outbox.aggregate_version, outbox.event_type, outbox.subject, outbox.payload, outbox.headers,
                IF(MONTH(outbox.occurred_at) > 0 AND DAYOFMONTH(outbox.occurred_at) > 0, outbox.occurred_at, '1970-01-01'),
                outbox.last_error
         FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY) ON outbox.seq = list.seq",
        actor,
        reason,
        Json(seqs)
    )
    .execute(&mut *tx)
    .await?;
    Ok(recorded.rows_affected())
}

/// Deletes records that are so old, the oldest first, by the index `discarded_at`; one whose tombstone is still in the outbox stays:
/// without it `check` would take the tombstone for a forgery. Locks those rows.
pub async fn purge(pool: &Pool, age_min: Duration, rows_max: u32) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE d
         FROM (SELECT id
               FROM outbox_discarded FORCE INDEX (discarded_at)
               WHERE discarded_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
                 AND NOT EXISTS (SELECT 1 FROM outbox FORCE INDEX (event_id) WHERE outbox.event_id = outbox_discarded.event_id)
               ORDER BY discarded_at
               LIMIT ?) AS old
         STRAIGHT_JOIN outbox_discarded AS d ON d.id = old.id",
        age_min.as_secs(),
        rows_max
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

/// The records of an event, oldest first. Locks nothing.
pub async fn of_event(pool: &Pool, event_id: Uuid) -> sqlx::Result<Vec<DiscardedRow>> {
    sqlx::query_as!(
        DiscardedRow,
        r#"SELECT discarded_at AS "discarded_at: DateTime<Utc>",
                  discarded_by,
                  reason,
                  event_type,
                  aggregate_type,
                  aggregate_id,
                  aggregate_version,
                  subject,
                  payload AS "payload: JsonText",
                  last_error
           FROM outbox_discarded
           WHERE event_id = ?
           ORDER BY id"#,
        event_id
    )
    .fetch_all(pool)
    .await
}
