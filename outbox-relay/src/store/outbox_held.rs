//! The table `outbox`: held events, and letting them go on.

use runtime::mysql::{Pool, Transaction};
use schema::sequence::Seq;
use sqlx::types::Json;

/// A held row, as far as it matters whether it must stay.
#[derive(Debug)]
pub struct HeldRow {
    pub seq: Seq,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub subject: String,
    /// Whether it waits for a limit itself.
    pub is_put_off: bool,
    /// Whether its time has not come yet. One of more than two hours ahead is of a clock that was wrong.
    pub waits: bool,
}

/// Reads the next held events after `after` by the index `claim`. Locks nothing.
pub async fn window(pool: &Pool, after: Seq, limit: u32) -> sqlx::Result<Vec<HeldRow>> {
    sqlx::query_as!(
        HeldRow,
        r#"SELECT seq, aggregate_type, aggregate_id, subject,
                  (next_attempt_at IS NOT NULL) AS "is_put_off!: bool",
                  COALESCE(next_attempt_at > UTC_TIMESTAMP(6)
                           AND next_attempt_at <= UTC_TIMESTAMP(6) + INTERVAL 2 HOUR, FALSE) AS "waits!: bool"
           FROM outbox FORCE INDEX (claim)
           WHERE state = 'held'
             AND seq > ?
           ORDER BY seq
           LIMIT ?"#,
        after,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Makes held events pending. A row that took the place of another and is held as well goes on with it: the claim that finds it
/// checks again what stands in its way. Locks their rows.
pub async fn release(pool: &Pool, seqs: &[Seq]) -> sqlx::Result<u64> {
    let released = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY) ON outbox.seq = list.seq
         SET outbox.state = 'pending'
         WHERE outbox.state = 'held'",
        Json(seqs)
    )
    .execute(pool)
    .await?;
    Ok(released.rows_affected())
}

/// Makes those held events pending whose aggregate has one of these events and no earlier dead event. Locks their rows
/// and the others of their aggregates until the transaction ends.
pub async fn release_later(tx: &mut Transaction, seqs: &[Seq]) -> sqlx::Result<u64> {
    let released = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
         STRAIGHT_JOIN outbox AS decided FORCE INDEX (PRIMARY) ON decided.seq = list.seq
         STRAIGHT_JOIN outbox AS held FORCE INDEX (aggregate)
              ON held.aggregate_type = decided.aggregate_type
             AND held.aggregate_id = decided.aggregate_id
             AND held.state = 'held'
         LEFT JOIN outbox AS dead
              ON dead.aggregate_type = held.aggregate_type
             AND dead.aggregate_id = held.aggregate_id
             AND dead.state = 'dead'
             AND dead.seq < held.seq
         SET held.state = 'pending'
         WHERE dead.seq IS NULL",
        Json(seqs)
    )
    .execute(&mut *tx)
    .await?;
    Ok(released.rows_affected())
}
