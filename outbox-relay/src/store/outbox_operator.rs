//! The table `outbox`: what operators change. Every statement is guarded by the state that it leaves, and the caller
//! checks how many rows it changed.

use runtime::mysql::Transaction;
use schema::sequence::Seq;
use sqlx::types::Json;
use uuid::Uuid;

use super::outbox::{PendingRow, pending_rows};

/// Where such an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum ChosenState {
    Pending,
    Published,
    /// It says that it is published, and no relay settled it.
    Unsettled,
    Held,
    Dead,
}

impl std::fmt::Display for ChosenState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Published => "published",
            Self::Unsettled => "unsettled",
            Self::Held => "held",
            Self::Dead => "dead",
        })
    }
}

/// An event that a person pointed at.
#[derive(Debug)]
pub struct ChosenRow {
    pub seq: Seq,
    pub event_id: Uuid,
    pub aggregate_version: Option<u32>,
    pub subject: String,
    pub state: ChosenState,
}

/// Finds events by their ids. Locks nothing.
pub async fn by_ids(tx: &mut Transaction, ids: &[Uuid]) -> sqlx::Result<Vec<ChosenRow>> {
    sqlx::query_as!(
        ChosenRow,
        r#"SELECT outbox.seq, outbox.event_id AS "event_id: Uuid", outbox.aggregate_version, outbox.subject,
                  IF(outbox.state = 'published' AND outbox.stream_seq = 0 AND outbox.heal_epoch = 0,
                     'unsettled', outbox.state) AS "state!: ChosenState"
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
        r#"SELECT seq, event_id AS "event_id: Uuid", aggregate_version, subject, state AS "state: ChosenState"
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
pub async fn as_claimed(tx: &mut Transaction, seqs: &[Seq], payload_bytes: u64) -> sqlx::Result<Vec<PendingRow>> {
    pending_rows!(
        payload_bytes,
        "FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           JOIN outbox ON outbox.seq = list.seq
           ORDER BY outbox.seq",
        Json(seqs)
    )
    .fetch_all(&mut *tx)
    .await
}

/// Makes events pending, with all their attempts before them, that are dead or that say that they are published though no relay
/// settled them. Locks their rows until the transaction ends.
pub async fn requeue(tx: &mut Transaction, seqs: &[Seq]) -> sqlx::Result<u64> {
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
pub async fn make_tombstones(tx: &mut Transaction, seqs: &[Seq], subject: Option<&str>) -> sqlx::Result<u64> {
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
pub async fn remove_tombstones(tx: &mut Transaction, seqs: &[Seq]) -> sqlx::Result<u64> {
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
