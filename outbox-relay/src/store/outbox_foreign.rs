//! The table `outbox`: rows that no relay and no verb can have left as they are. Changes nothing and locks nothing.

use runtime::mysql::Pool;

/// Where the search stops.
const ROWS_MAX: u32 = 10_000;

/// How many there are among the first ten thousand rows of each kind.
#[derive(Debug)]
pub struct Foreign {
    /// Published, and never settled: without a place in the stream, or a time.
    pub unsettled: i64,
    /// Waiting for longer than the relay has any event wait.
    pub far_ahead: i64,
    /// To be published as a tombstone, without a record of who discarded it.
    pub undiscarded: i64,
}

/// Counts them, by the indexes `claim` and `waiting`.
pub async fn count(pool: &Pool) -> sqlx::Result<Foreign> {
    let unsettled = sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "rows!: i64"
           FROM (SELECT published_at, stream_seq, heal_epoch
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = 'published'
                 ORDER BY seq
                 LIMIT ?) AS oldest
           WHERE published_at = '1970-01-01'
              OR (stream_seq = 0 AND heal_epoch = 0)"#,
        ROWS_MAX
    )
    .fetch_one(pool)
    .await?;
    let far_ahead = sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "rows!: i64"
           FROM (SELECT seq
                 FROM outbox FORCE INDEX (waiting)
                 WHERE next_attempt_at > UTC_TIMESTAMP(6) + INTERVAL 1 HOUR
                 LIMIT ?) AS ahead"#,
        ROWS_MAX
    )
    .fetch_one(pool)
    .await?;
    let undiscarded = sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "rows!: i64"
           FROM (SELECT event_id, discarded_at
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = 'pending'
                 ORDER BY seq
                 LIMIT ?) AS next_ones
           LEFT JOIN outbox_discarded ON outbox_discarded.event_id = next_ones.event_id
           WHERE next_ones.discarded_at IS NOT NULL
             AND outbox_discarded.id IS NULL"#,
        ROWS_MAX
    )
    .fetch_one(pool)
    .await?;
    Ok(Foreign { unsettled, far_ahead, undiscarded })
}
