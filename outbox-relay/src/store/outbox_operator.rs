//! The table `outbox`: what operators change. Every statement is guarded by the state that it leaves, and the caller
//! checks how many rows it changed.

use runtime::mysql::Transaction;
use sqlx::types::Json;
use uuid::Uuid;

use super::column::{HEADERS_BYTES_MAX, JsonText, Moment};
use super::outbox::PendingRow;

/// An event that a person pointed at.
#[derive(Debug)]
pub struct ChosenRow {
    pub seq: u64,
    pub event_id: Uuid,
    pub aggregate_version: Option<u32>,
    pub subject: String,
    pub state: String,
}

/// Finds events by their ids. A published one that no relay settled is `unsettled`. Locks nothing.
pub async fn by_ids(tx: &mut Transaction, ids: &[Uuid]) -> sqlx::Result<Vec<ChosenRow>> {
    sqlx::query_as!(
        ChosenRow,
        r#"SELECT outbox.seq, outbox.event_id AS "event_id: Uuid", outbox.aggregate_version, outbox.subject,
                  IF(outbox.state = 'published' AND outbox.stream_seq = 0 AND outbox.heal_epoch = 0,
                     'unsettled', outbox.state) AS "state!: String"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS list
           JOIN outbox ON outbox.event_id = UNHEX(REPLACE(list.event_id, '-', ''))
           ORDER BY outbox.seq"#,
        Json(ids)
    )
    .fetch_all(&mut *tx)
    .await
}

/// Finds the oldest dead events by type and by a part of their last error; none of the two means all. Reads the dead
/// rows of the index `claim`. Locks nothing.
pub async fn dead(
    tx: &mut Transaction,
    event_type: Option<&str>,
    error_part: Option<&str>,
    limit: u32,
) -> sqlx::Result<Vec<ChosenRow>> {
    sqlx::query_as!(
        ChosenRow,
        r#"SELECT seq, event_id AS "event_id: Uuid", aggregate_version, subject, state AS "state: String"
           FROM outbox
           WHERE state = 'dead'
             AND (? IS NULL OR event_type = ?)
             AND (? IS NULL OR LOCATE(?, last_error) > 0)
           ORDER BY seq
           LIMIT ?"#,
        event_type,
        event_type,
        error_part,
        error_part,
        limit
    )
    .fetch_all(&mut *tx)
    .await
}

/// Events as a claim would read them, but for payloads above the bytes given; in `seq` order. Locks nothing.
pub async fn as_claimed(tx: &mut Transaction, seqs: &[u64], payload_bytes: u64) -> sqlx::Result<Vec<PendingRow>> {
    sqlx::query_as!(
        PendingRow,
        r#"SELECT outbox.seq,
                  outbox.event_id AS "event_id: Uuid",
                  outbox.aggregate_type,
                  outbox.aggregate_id,
                  outbox.aggregate_version,
                  outbox.event_type,
                  outbox.subject,
                  IF(LENGTH(outbox.payload) > ?, NULL, outbox.payload) AS "payload: JsonText",
                  CAST(LENGTH(outbox.payload) AS UNSIGNED) AS "payload_bytes!: u64",
                  IF(LENGTH(outbox.headers) > ?, NULL, outbox.headers) AS "headers: JsonText",
                  CAST(COALESCE(LENGTH(outbox.headers), 0) AS UNSIGNED) AS "headers_bytes!: u64",
                  outbox.occurred_at AS "occurred_at?: Moment",
                  outbox.attempts,
                  outbox.heal_epoch,
                  (outbox.discarded_at IS NOT NULL) AS "is_discarded!: bool",
                  0 AS "waited_us!: i64",
                  FALSE AS "is_far_off!: bool"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           JOIN outbox ON outbox.seq = list.seq
           ORDER BY outbox.seq"#,
        payload_bytes,
        HEADERS_BYTES_MAX,
        Json(seqs)
    )
    .fetch_all(&mut *tx)
    .await
}

/// Makes events pending, with all their attempts before them, that are dead or that say that they are published though no relay
/// settled them. Locks their rows until the transaction ends.
pub async fn requeue(tx: &mut Transaction, seqs: &[u64]) -> sqlx::Result<u64> {
    let requeued = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY) ON outbox.seq = list.seq
         SET outbox.state           = 'pending',
             outbox.attempts        = 0,
             outbox.next_attempt_at = NULL,
             outbox.last_error      = NULL,
             outbox.published_at    = '1970-01-01'
         WHERE outbox.state = 'dead'
            OR (outbox.state = 'published' AND outbox.stream_seq = 0 AND outbox.heal_epoch = 0)",
        Json(seqs)
    )
    .execute(&mut *tx)
    .await?;
    Ok(requeued.rows_affected())
}

/// Makes dead or held events tombstones that are to be published, to another subject if one is given. Locks their rows
/// until the transaction ends.
pub async fn make_tombstones(tx: &mut Transaction, seqs: &[u64], subject: Option<&str>) -> sqlx::Result<u64> {
    let made = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY) ON outbox.seq = list.seq
         SET outbox.state           = 'pending',
             outbox.discarded_at    = UTC_TIMESTAMP(6),
             outbox.subject         = COALESCE(?, outbox.subject),
             outbox.payload         = '{}',
             outbox.headers         = NULL,
             outbox.attempts        = 0,
             outbox.next_attempt_at = NULL,
             outbox.last_error      = NULL
         WHERE outbox.state IN ('dead', 'held')",
        Json(seqs),
        subject
    )
    .execute(&mut *tx)
    .await?;
    Ok(made.rows_affected())
}

/// Deletes tombstones that nobody waits for, before anybody could see them. Locks their rows until the transaction ends.
pub async fn remove_tombstones(tx: &mut Transaction, seqs: &[u64]) -> sqlx::Result<u64> {
    let removed = sqlx::query!(
        "DELETE outbox
         FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY) ON outbox.seq = list.seq
         WHERE outbox.state = 'pending'
           AND outbox.discarded_at IS NOT NULL",
        Json(seqs)
    )
    .execute(&mut *tx)
    .await?;
    Ok(removed.rows_affected())
}
