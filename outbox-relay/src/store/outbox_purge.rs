//! The table `outbox`: deleting published events whose retention is over and that are proven, a window of keys at a time.
//!
//! A window is the next published rows by the index `claim`, so its cost is the same at ten thousand rows and at ten
//! million. Only published rows are locked, never one that a claim or a settle wants.

use std::time::Duration;

use runtime::mysql::Pool;
use schema::names::OUTBOX_LEASE;

/// The next published events.
#[derive(Debug)]
pub struct Window {
    /// The last of their keys; none if there are no more.
    pub last: Option<u64>,
    /// How many of them are to be deleted.
    pub old: u64,
    /// Up to where the stream is proven.
    pub proven_seq: u64,
}

/// Looks at the next `limit` published events after `after`. Old ones that are not proven to be in the stream are not to be
/// deleted. Locks nothing.
pub async fn window(pool: &Pool, after: u64, limit: u32, older_than: Duration) -> sqlx::Result<Window> {
    let row = sqlx::query!(
        r#"SELECT MAX(seq) AS "last: u64", COUNT(IF(is_old AND stream_seq <= proven_seq, 1, NULL)) AS "old!: i64",
                  MAX(proven_seq) AS "proven_seq: u64"
           FROM (SELECT seq, stream_seq, published_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND AS is_old,
                        (SELECT proven_seq FROM relay_stream WHERE name = ?) AS proven_seq
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = 'published'
                   AND seq > ?
                 ORDER BY seq
                 LIMIT ?) AS next_published"#,
        older_than.as_secs(),
        OUTBOX_LEASE,
        after,
        limit
    )
    .fetch_one(pool)
    .await?;
    Ok(Window { last: row.last, old: row.old.unsigned_abs(), proven_seq: row.proven_seq.unwrap_or(0) })
}

/// Deletes the events of a window that are old and proven. Locks their rows and nothing else: a subquery on `relay_stream`
/// would lock its row, too, and the watcher would wait for whoever the purge waits for.
pub async fn delete(pool: &Pool, after: u64, last: u64, older_than: Duration, proven_seq: u64) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM outbox
         WHERE seq > ?
           AND seq <= ?
           AND state = 'published'
           AND published_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
           AND stream_seq <= ?",
        after,
        last,
        older_than.as_secs(),
        proven_seq
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
