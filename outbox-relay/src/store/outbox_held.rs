//! The table `outbox`: held events, and letting them go on.

use runtime::mysql::{Pool, Transaction};
use sqlx::types::Json;
use uuid::Uuid;

/// A held row, as far as it matters whether it must stay.
#[derive(Debug)]
pub struct HeldRow {
    pub seq: u64,
    pub aggregate_type: String,
    pub aggregate_id: Uuid,
    pub subject: String,
    /// Whether an elder of its aggregate is dead or waits for its next attempt.
    pub is_behind_dead: bool,
}

/// Reads the next held events after `after` by the index `claim`. Locks nothing.
pub async fn window(pool: &Pool, after: u64, limit: u32) -> sqlx::Result<Vec<HeldRow>> {
    sqlx::query_as!(
        HeldRow,
        r#"SELECT held.seq AS "seq!",
                  held.aggregate_type AS "aggregate_type!",
                  held.aggregate_id AS "aggregate_id!: Uuid",
                  held.subject AS "subject!",
                  (dead.seq IS NOT NULL) AS "is_behind_dead!: bool"
           FROM (SELECT seq, aggregate_type, aggregate_id, subject
                 FROM outbox
                 WHERE state = 'held'
                   AND seq > ?
                 ORDER BY seq
                 LIMIT ?) AS held
           LEFT JOIN (SELECT aggregate_type, aggregate_id, MIN(seq) AS seq
                      FROM (SELECT aggregate_type, aggregate_id, seq FROM outbox WHERE state = 'dead'
                            UNION ALL
                            SELECT aggregate_type, aggregate_id, seq FROM outbox WHERE next_attempt_at IS NOT NULL
                           ) AS obstacle
                      GROUP BY aggregate_type, aggregate_id) AS dead
                ON dead.aggregate_type = held.aggregate_type
               AND dead.aggregate_id = held.aggregate_id
               AND dead.seq < held.seq
           ORDER BY held.seq"#,
        after,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Makes held events pending. Locks their rows.
pub async fn release(pool: &Pool, seqs: &[u64]) -> sqlx::Result<u64> {
    let released = sqlx::query!(
        "UPDATE outbox
         JOIN JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list ON list.seq = outbox.seq
         SET outbox.state = 'pending'
         WHERE outbox.state = 'held'",
        Json(seqs)
    )
    .execute(pool)
    .await?;
    Ok(released.rows_affected())
}

/// Makes those held events pending whose aggregate has one of these events and no dead elder. Locks their rows and
/// their siblings' until the transaction ends.
pub async fn release_siblings(tx: &mut Transaction, seqs: &[u64]) -> sqlx::Result<u64> {
    let released = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
         JOIN outbox AS mended ON mended.seq = list.seq
         JOIN outbox AS held
              ON held.aggregate_type = mended.aggregate_type
             AND held.aggregate_id = mended.aggregate_id
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
    .execute(&mut **tx)
    .await?;
    Ok(released.rows_affected())
}
