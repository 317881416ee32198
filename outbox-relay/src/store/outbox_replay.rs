//! The table `outbox`: published events to be published again. Locks nothing and changes nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use schema::aggregate::AggregateId;
use schema::sequence::Seq;
use serde_json::value::RawValue;
use sqlx::types::Json;
use uuid::Uuid;

/// A published event, whole.
#[derive(Debug)]
pub struct ReplayRow {
    pub seq: Seq,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: AggregateId,
    pub aggregate_version: Option<u32>,
    pub event_type: String,
    pub subject: String,
    pub payload: Json<Box<RawValue>>,
    pub headers: Option<Json<Option<BTreeMap<String, String>>>>,
    pub occurred_at: DateTime<Utc>,
    pub is_tombstone: bool,
}

/// The keys of these events, as far as they are published.
pub async fn by_ids(pool: &Pool, ids: &[Uuid]) -> sqlx::Result<Vec<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT outbox.seq AS "seq: Seq"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS list
           JOIN outbox ON outbox.event_id = UNHEX(REPLACE(list.event_id, '-', ''))
           WHERE outbox.state = 'published'
           ORDER BY outbox.seq"#,
        Json(ids)
    )
    .fetch_all(pool)
    .await
}

/// The keys of the published events of an aggregate, in its order.
pub async fn by_aggregate(pool: &Pool, aggregate_type: &str, aggregate_id: AggregateId) -> sqlx::Result<Vec<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT seq AS "seq: Seq"
         FROM outbox
         WHERE aggregate_type = ?
           AND aggregate_id = ?
           AND state = 'published'
         ORDER BY seq"#,
        aggregate_type,
        aggregate_id
    )
    .fetch_all(pool)
    .await
}

/// The last key of the next `count` published events after `after`; none if there are fewer.
pub async fn window_end(pool: &Pool, after: Seq, count: u64) -> sqlx::Result<Option<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT seq AS "seq: Seq"
         FROM outbox FORCE INDEX (claim)
         WHERE state = 'published'
           AND seq > ?
         ORDER BY seq
         LIMIT 1 OFFSET ?"#,
        after,
        count.saturating_sub(1)
    )
    .fetch_optional(pool)
    .await
}

/// The keys of the published events of a time range that lie between two keys, in their order. Each published row
/// between them is compared: its place says nothing of its time.
pub async fn by_time(
    pool: &Pool,
    (after, last): (Seq, Seq),
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
) -> sqlx::Result<Vec<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT seq AS "seq: Seq"
         FROM outbox FORCE INDEX (claim)
         WHERE state = 'published'
           AND seq > ?
           AND seq <= ?
           AND occurred_at >= ?
           AND (? IS NULL OR occurred_at < ?)
         ORDER BY seq"#,
        after,
        last,
        since,
        until,
        until
    )
    .fetch_all(pool)
    .await
}

/// The events themselves, in their order. Sorted here: MySQL sorts no row that is larger than its sort buffer, 256 KiB
/// unless configured.
pub async fn load(pool: &Pool, seqs: &[Seq]) -> sqlx::Result<Vec<ReplayRow>> {
    let mut rows = sqlx::query_as!(
        ReplayRow,
        r#"SELECT outbox.seq,
                  outbox.event_id AS "event_id: Uuid",
                  outbox.aggregate_type,
                  outbox.aggregate_id AS "aggregate_id: AggregateId",
                  outbox.aggregate_version,
                  outbox.event_type,
                  outbox.subject,
                  outbox.payload AS "payload: Json<Box<RawValue>>",
                  outbox.headers AS "headers: Json<Option<BTreeMap<String, String>>>",
                  outbox.occurred_at AS "occurred_at: DateTime<Utc>",
                  (outbox.discarded_at IS NOT NULL) AS "is_tombstone!: bool"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           JOIN outbox ON outbox.seq = list.seq"#,
        Json(seqs)
    )
    .fetch_all(pool)
    .await?;
    rows.sort_by_key(|row| row.seq);
    Ok(rows)
}
