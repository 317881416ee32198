//! The table `outbox`: held events, and letting them go on.

use runtime::mysql::{Pool, Transaction};
use sqlx::types::Json;

/// A held row, as far as it matters whether it must stay.
#[derive(Debug)]
pub struct HeldRow {
    pub seq: u64,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub subject: String,
    /// Whether it waits for a limit itself.
    pub is_put_off: bool,
    /// Whether its time has not come yet. One of more than two hours ahead is of a clock that was wrong.
    pub waits: bool,
}

/// The first event of an aggregate that is dead, waits for its next attempt, or is held in front of the one that was asked about.
#[derive(Debug)]
pub struct Obstacle {
    /// The event of the aggregate that was asked about.
    pub seq: u64,
    pub obstacle: u64,
}

/// Reads the next held events after `after` by the index `claim`. Locks nothing.
pub async fn window(pool: &Pool, after: u64, limit: u32) -> sqlx::Result<Vec<HeldRow>> {
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

/// What stands in the way in the aggregates of these events, for those that have something. Give one event of an aggregate: all
/// of each are read, and however many are dead or wait elsewhere, they are not. The order of the joins is fixed, as in
/// [`super::outbox::earlier`]. Locks nothing.
pub async fn obstacles(pool: &Pool, seqs: &[u64]) -> sqlx::Result<Vec<Obstacle>> {
    sqlx::query_as!(
        Obstacle,
        r#"SELECT held.seq AS "seq!: u64", MIN(earlier.seq) AS "obstacle!: u64"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           STRAIGHT_JOIN outbox AS held ON held.seq = list.seq
           STRAIGHT_JOIN outbox AS earlier FORCE INDEX (aggregate)
                ON earlier.aggregate_type = held.aggregate_type
               AND earlier.aggregate_id = held.aggregate_id
           WHERE earlier.state = 'dead'
              OR earlier.next_attempt_at IS NOT NULL
              OR (earlier.state = 'held' AND earlier.seq < held.seq)
           GROUP BY held.seq"#,
        Json(seqs)
    )
    .fetch_all(pool)
    .await
}

/// Makes held events pending. A row that took the place of another and is held as well goes on with it: the claim that finds it
/// checks again what stands in its way. Locks their rows.
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

/// Makes those held events pending whose aggregate has one of these events and no earlier dead event. Locks their rows
/// and the others of their aggregates until the transaction ends.
pub async fn release_siblings(tx: &mut Transaction, seqs: &[u64]) -> sqlx::Result<u64> {
    let released = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
         JOIN outbox AS requeued ON requeued.seq = list.seq
         JOIN outbox AS held
              ON held.aggregate_type = requeued.aggregate_type
             AND held.aggregate_id = requeued.aggregate_id
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
