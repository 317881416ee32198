//! The table `outbox`: published events to be published again. Locks nothing and changes nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use serde_json::value::RawValue;
use sqlx::types::Json;
use uuid::Uuid;

/// A published event, whole.
#[derive(Debug)]
pub struct ReplayRow {
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: Uuid,
    pub aggregate_version: Option<u32>,
    pub event_type: String,
    pub subject: String,
    pub payload: Json<Box<RawValue>>,
    pub headers: Option<Json<Option<BTreeMap<String, String>>>>,
    pub occurred_at: DateTime<Utc>,
    pub is_tombstone: bool,
}

/// The keys of these events, as far as they are published.
pub async fn by_ids(pool: &Pool, ids: &[Uuid]) -> sqlx::Result<Vec<u64>> {
    sqlx::query_scalar!(
        r#"SELECT outbox.seq
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
pub async fn by_aggregate(pool: &Pool, aggregate_type: &str, aggregate_id: Uuid) -> sqlx::Result<Vec<u64>> {
    sqlx::query_scalar!(
        "SELECT seq
         FROM outbox
         WHERE aggregate_type = ?
           AND aggregate_id = ?
           AND state = 'published'
         ORDER BY seq",
        aggregate_type,
        aggregate_id
    )
    .fetch_all(pool)
    .await
}

/// The keys of the published events of a time range that lie between two keys, in their order.
pub async fn by_time(
    pool: &Pool,
    (after, last): (u64, u64),
    (since, until): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<Vec<u64>> {
    sqlx::query_scalar!(
        "SELECT seq
         FROM outbox
         WHERE seq > ?
           AND seq <= ?
           AND state = 'published'
           AND occurred_at >= ?
           AND occurred_at < ?
         ORDER BY seq",
        after,
        last,
        since,
        until
    )
    .fetch_all(pool)
    .await
}

/// The events themselves, in their order.
pub async fn load(pool: &Pool, seqs: &[u64]) -> sqlx::Result<Vec<ReplayRow>> {
    sqlx::query_as!(
        ReplayRow,
        r#"SELECT outbox.event_id AS "event_id: Uuid",
                  outbox.aggregate_type,
                  outbox.aggregate_id AS "aggregate_id: Uuid",
                  outbox.aggregate_version,
                  outbox.event_type,
                  outbox.subject,
                  outbox.payload AS "payload: Json<Box<RawValue>>",
                  outbox.headers AS "headers: Json<Option<BTreeMap<String, String>>>",
                  outbox.occurred_at AS "occurred_at: DateTime<Utc>",
                  (outbox.discarded_at IS NOT NULL) AS "is_tombstone!: bool"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$')) AS list
           JOIN outbox ON outbox.seq = list.seq
           ORDER BY outbox.seq"#,
        Json(seqs)
    )
    .fetch_all(pool)
    .await
}
