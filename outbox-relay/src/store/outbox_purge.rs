//! The table `outbox`: deleting published events whose retention is over and that are proven, a window of keys at a time.
//!
//! A window is the next published rows by the index `claim`, so its cost is the same at ten thousand rows and at ten
//! million. Only published rows are locked, never one that a claim or a settle wants.
//!
//! The proof covers an event only by its place in the stream. A published row without one was never settled, whatever its
//! `published_at` says: no relay wrote it, it stays, and `check` tells of it
//! (`what_no_relay_published_is_never_purged_and_a_person_can_requeue_it`). An event that expired in a stream that is gone has no
//! place either, but a heal epoch: see `displace` in [`super::outbox_heal`].
//!
//! The rows are locked first, which may wait for somebody, then the proof is read, then they are deleted, in one transaction: a
//! proof that was taken back meanwhile deletes nothing (`a_purge_that_waits_for_a_row_goes_by_the_proof_of_after_the_wait`).
//! With the proof in a subquery of the DELETE the servers would read it before the wait and keep its row locked until the end,
//! and the watcher would wait for whoever the purge waits for.

use std::time::Duration;

use runtime::mysql::{Pool, Transaction};
use schema::names::OUTBOX_LEASE;
use schema::sequence::{Seq, StreamSeq};

/// The next published events.
#[derive(Debug)]
pub struct Window {
    /// The last of their keys; none if there are no more.
    pub last: Option<Seq>,
    /// How many of them are to be deleted.
    pub old: u64,
}

/// Reads the next `limit` published events after `after`. Old ones that are not proven to be in the stream are not to be
/// deleted, and none is while a loss is investigated. Locks nothing.
pub async fn window(pool: &Pool, after: Seq, limit: u32, older_than: Duration) -> sqlx::Result<Window> {
    let row = sqlx::query!(
        r#"SELECT MAX(seq) AS "last: Seq", COUNT(IF(is_old AND is_settled AND stream_seq <= proven_seq, 1, NULL)) AS "old!: i64"
           FROM (SELECT seq, stream_seq, published_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
                                     AND published_at > '1970-01-01' AS is_old,
                        (stream_seq > 0 OR heal_epoch > 0) AS is_settled,
                        (SELECT proven_seq
                         FROM relay_stream
                         WHERE name = ?
                           AND suspicion IS NULL
                           AND history_seq IS NULL) AS proven_seq
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
    Ok(Window { last: row.last, old: row.old.unsigned_abs() })
}

/// Locks the events of a window that are old, and waits for whoever has one of them. Keeps the locks until the transaction
/// ends.
pub async fn lock(tx: &mut Transaction, after: Seq, last: Seq, older_than: Duration) -> sqlx::Result<()> {
    sqlx::query_scalar!(
        "SELECT seq
         FROM outbox FORCE INDEX (claim)
         WHERE state = 'published'
           AND seq > ?
           AND seq <= ?
           AND published_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
         FOR UPDATE",
        after,
        last,
        older_than.as_secs()
    )
    .fetch_all(&mut *tx)
    .await
    .map(drop)
}

/// Up to where the stream is proven now; none while a loss is investigated. Locks nothing.
pub async fn proven(tx: &mut Transaction) -> sqlx::Result<Option<StreamSeq>> {
    sqlx::query_scalar!(
        r#"SELECT proven_seq AS "proven: StreamSeq"
         FROM relay_stream
         WHERE name = ?
           AND suspicion IS NULL
           AND history_seq IS NULL"#,
        OUTBOX_LEASE
    )
    .fetch_optional(&mut *tx)
    .await
}

/// Deletes the events of a window that are old and proven. Call [`lock`] first, then [`proven`], so that it waits for nobody and
/// no proof grows old in it.
pub async fn delete(
    tx: &mut Transaction,
    (after, last): (Seq, Seq),
    older_than: Duration,
    proven: StreamSeq,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM outbox
         WHERE seq > ?
           AND seq <= ?
           AND state = 'published'
           AND published_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
           AND published_at > '1970-01-01'
           AND (stream_seq > 0 OR heal_epoch > 0)
           AND stream_seq <= ?",
        after,
        last,
        older_than.as_secs(),
        proven
    )
    .execute(&mut *tx)
    .await?;
    Ok(deleted.rows_affected())
}
