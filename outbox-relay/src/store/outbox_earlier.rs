//! The table `outbox`: what stands before an event in its aggregate and is not in the stream.
//!
//! An aggregate may have millions of published events, so the search begins with what is not published: these are few, unless
//! much is held or dead. Only when there are too many of them are all events of the aggregates read. The order of the joins is
//! fixed: while the statistics lag behind an import, the optimizer would begin with the whole outbox.

use runtime::mysql::Pool;
use schema::sequence::Seq;
use sqlx::types::Json;

/// From so many unpublished events on the aggregates' own are read instead.
const UNPUBLISHED_MAX: u32 = 4_000;

/// What stands before an event.
#[derive(Debug)]
pub struct Earlier {
    /// The event that was asked about.
    pub seq: Seq,
    /// The last earlier event of its aggregate that is not in the stream.
    pub latest: Option<Seq>,
    /// The first event of its aggregate, up to the last that was asked for, that is dead, waits for its next attempt, or is held
    /// in front of it.
    pub stopped: Option<Seq>,
}

/// What stands before each of these events, of which one is of an aggregate, its first. Events up to `last` are read. Locks
/// nothing.
pub async fn earlier(pool: &Pool, seqs: &[Seq], last: Seq) -> sqlx::Result<Vec<Earlier>> {
    // How many there are decides about the cost only: whatever was inserted since, either statement finds it.
    match unpublished(pool, last).await? < i64::from(UNPUBLISHED_MAX) {
        true => of_unpublished(pool, seqs, last).await,
        false => of_all(pool, seqs, last).await,
    }
}

/// How many events up to `last` are not published, [`UNPUBLISHED_MAX`] at most. By the index `claim` alone.
async fn unpublished(pool: &Pool, last: Seq) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "unpublished!: i64"
           FROM (SELECT seq
                 FROM outbox FORCE INDEX (claim)
                 WHERE state IN ('pending', 'held', 'dead')
                   AND seq <= ?
                 LIMIT ?) AS counted"#,
        last,
        UNPUBLISHED_MAX
    )
    .fetch_one(pool)
    .await
}

/// As [`earlier`], from all that is not published. Its LIMIT is none: it keeps the servers from reading them once for each event
/// that was asked about.
async fn of_unpublished(pool: &Pool, seqs: &[Seq], last: Seq) -> sqlx::Result<Vec<Earlier>> {
    sqlx::query_as!(
        Earlier,
        r#"SELECT asked.seq AS "seq!: Seq",
                  MAX(IF(earlier.seq < asked.seq, earlier.seq, NULL)) AS "latest: Seq",
                  MIN(IF(earlier.state = 'dead' OR earlier.next_attempt_at IS NOT NULL
                         OR (earlier.state = 'held' AND earlier.seq < asked.seq), earlier.seq, NULL)) AS "stopped: Seq"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           STRAIGHT_JOIN outbox AS asked FORCE INDEX (PRIMARY) ON asked.seq = list.seq
           LEFT JOIN (SELECT seq, aggregate_type, aggregate_id, state, next_attempt_at
                      FROM outbox FORCE INDEX (claim)
                      WHERE state IN ('pending', 'held', 'dead')
                        AND seq <= ?
                      LIMIT ?) AS earlier
                ON earlier.aggregate_type = asked.aggregate_type
               AND earlier.aggregate_id = asked.aggregate_id
           GROUP BY asked.seq"#,
        Json(seqs),
        last,
        u64::MAX
    )
    .fetch_all(pool)
    .await
}

/// As [`earlier`], from all events of the aggregates.
async fn of_all(pool: &Pool, seqs: &[Seq], last: Seq) -> sqlx::Result<Vec<Earlier>> {
    sqlx::query_as!(
        Earlier,
        r#"SELECT asked.seq AS "seq!: Seq",
                  MAX(IF(earlier.seq < asked.seq, earlier.seq, NULL)) AS "latest: Seq",
                  MIN(IF(earlier.state = 'dead' OR earlier.next_attempt_at IS NOT NULL
                         OR (earlier.state = 'held' AND earlier.seq < asked.seq), earlier.seq, NULL)) AS "stopped: Seq"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           STRAIGHT_JOIN outbox AS asked FORCE INDEX (PRIMARY) ON asked.seq = list.seq
           STRAIGHT_JOIN outbox AS earlier FORCE INDEX (aggregate)
                ON earlier.aggregate_type = asked.aggregate_type
               AND earlier.aggregate_id = asked.aggregate_id
               AND earlier.seq <= ?
           WHERE earlier.state <> 'published'
           GROUP BY asked.seq"#,
        Json(seqs),
        last
    )
    .fetch_all(pool)
    .await
}
