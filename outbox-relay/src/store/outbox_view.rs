//! The table `outbox`, for people to look at. Every statement reads a bounded number of rows by an index, however
//! large the table is, and locks nothing.

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use serde::Serialize;
use uuid::Uuid;

use super::column::{JsonText, Moment, moment};

/// Rows that a filter without an index looks through, newest first.
pub const LOOK_THROUGH_MAX: u32 = 100_000;

/// A row of a list.
#[derive(Debug, Serialize)]
pub struct ListedRow {
    pub seq: u64,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: Uuid,
    pub aggregate_version: Option<u32>,
    pub event_type: String,
    pub state: String,
    pub attempts: u32,
    pub occurred_at: Option<Moment>,
    pub stream_seq: Option<u64>,
    pub last_error: Option<String>,
}

/// All of a row.
#[derive(Debug, Serialize)]
pub struct ShownRow {
    pub seq: u64,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: Uuid,
    pub aggregate_version: Option<u32>,
    pub event_type: String,
    pub subject: String,
    pub payload: JsonText,
    pub headers: Option<JsonText>,
    pub occurred_at: Option<Moment>,
    pub state: String,
    pub attempts: u32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub published_at: Option<DateTime<Utc>>,
    pub stream_seq: Option<u64>,
    pub heal_epoch: u32,
    pub discarded_at: Option<DateTime<Utc>>,
}

/// What a list is narrowed to; none means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<&'static str>,
    pub aggregate: Option<(String, Uuid)>,
    pub event_type: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// Both ends included.
    pub seqs: (u64, u64),
}

/// The newest events of a filter, newest first: by the index `aggregate`, or by `claim`, or by the key.
pub async fn list(pool: &Pool, filter: &Filter, limit: u32) -> sqlx::Result<Vec<ListedRow>> {
    match (&filter.aggregate, filter.state) {
        (Some(aggregate), _) => of_aggregate(pool, aggregate, filter, limit).await,
        (None, Some(state)) => in_state(pool, state, filter, limit).await,
        (None, None) => newest(pool, filter, limit).await,
    }
}

async fn of_aggregate(
    pool: &Pool,
    (aggregate_type, aggregate_id): &(String, Uuid),
    filter: &Filter,
    limit: u32,
) -> sqlx::Result<Vec<ListedRow>> {
    sqlx::query_as!(
        ListedRow,
        r#"SELECT seq, event_id AS "event_id: Uuid", aggregate_type, aggregate_id AS "aggregate_id: Uuid",
                  aggregate_version, event_type, state AS "state: String", attempts,
                  occurred_at AS "occurred_at?: Moment", NULLIF(stream_seq, 0) AS "stream_seq?: u64", last_error
           FROM outbox
           WHERE aggregate_type = ?
             AND aggregate_id = ?
             AND seq BETWEEN ? AND ?
             AND (? IS NULL OR state = ?)
             AND (? IS NULL OR event_type = ?)
             AND (? IS NULL OR occurred_at >= ?)
             AND (? IS NULL OR occurred_at < ?)
           ORDER BY seq DESC
           LIMIT ?"#,
        aggregate_type,
        aggregate_id,
        filter.seqs.0,
        filter.seqs.1,
        filter.state,
        filter.state,
        filter.event_type,
        filter.event_type,
        filter.since,
        filter.since,
        filter.until,
        filter.until,
        limit
    )
    .fetch_all(pool)
    .await
}

async fn in_state(pool: &Pool, state: &str, filter: &Filter, limit: u32) -> sqlx::Result<Vec<ListedRow>> {
    sqlx::query_as!(
        ListedRow,
        r#"SELECT outbox.seq, outbox.event_id AS "event_id: Uuid", outbox.aggregate_type,
                  outbox.aggregate_id AS "aggregate_id: Uuid", outbox.aggregate_version, outbox.event_type,
                  outbox.state AS "state: String", outbox.attempts,
                  outbox.occurred_at AS "occurred_at?: Moment", NULLIF(outbox.stream_seq, 0) AS "stream_seq?: u64",
                  outbox.last_error
           FROM (SELECT seq
                 FROM outbox
                 WHERE state = ?
                   AND seq BETWEEN ? AND ?
                 ORDER BY seq DESC
                 LIMIT ?) AS newest
           JOIN outbox ON outbox.seq = newest.seq
           WHERE (? IS NULL OR outbox.event_type = ?)
             AND (? IS NULL OR outbox.occurred_at >= ?)
             AND (? IS NULL OR outbox.occurred_at < ?)
           ORDER BY newest.seq DESC
           LIMIT ?"#,
        state,
        filter.seqs.0,
        filter.seqs.1,
        LOOK_THROUGH_MAX,
        filter.event_type,
        filter.event_type,
        filter.since,
        filter.since,
        filter.until,
        filter.until,
        limit
    )
    .fetch_all(pool)
    .await
}

async fn newest(pool: &Pool, filter: &Filter, limit: u32) -> sqlx::Result<Vec<ListedRow>> {
    sqlx::query_as!(
        ListedRow,
        r#"SELECT outbox.seq, outbox.event_id AS "event_id: Uuid", outbox.aggregate_type,
                  outbox.aggregate_id AS "aggregate_id: Uuid", outbox.aggregate_version, outbox.event_type,
                  outbox.state AS "state: String", outbox.attempts,
                  outbox.occurred_at AS "occurred_at?: Moment", NULLIF(outbox.stream_seq, 0) AS "stream_seq?: u64",
                  outbox.last_error
           FROM (SELECT seq
                 FROM outbox
                 WHERE seq BETWEEN ? AND ?
                 ORDER BY seq DESC
                 LIMIT ?) AS newest
           JOIN outbox ON outbox.seq = newest.seq
           WHERE (? IS NULL OR outbox.event_type = ?)
             AND (? IS NULL OR outbox.occurred_at >= ?)
             AND (? IS NULL OR outbox.occurred_at < ?)
           ORDER BY newest.seq DESC
           LIMIT ?"#,
        filter.seqs.0,
        filter.seqs.1,
        LOOK_THROUGH_MAX,
        filter.event_type,
        filter.event_type,
        filter.since,
        filter.since,
        filter.until,
        filter.until,
        limit
    )
    .fetch_all(pool)
    .await
}

/// One event.
pub async fn show(pool: &Pool, event_id: Uuid) -> sqlx::Result<Option<ShownRow>> {
    sqlx::query_as!(
        ShownRow,
        r#"SELECT seq, event_id AS "event_id: Uuid", aggregate_type, aggregate_id AS "aggregate_id: Uuid",
                  aggregate_version, event_type, subject,
                  payload AS "payload: JsonText",
                  headers AS "headers: JsonText",
                  occurred_at AS "occurred_at?: Moment",
                  state AS "state: String", attempts,
                  next_attempt_at AS "next_attempt_at: DateTime<Utc>",
                  last_error,
                  NULLIF(published_at, '1970-01-01') AS "published_at?: DateTime<Utc>",
                  NULLIF(stream_seq, 0) AS "stream_seq?: u64", heal_epoch,
                  discarded_at AS "discarded_at: DateTime<Utc>"
           FROM outbox
           WHERE event_id = ?"#,
        event_id
    )
    .fetch_optional(pool)
    .await
}

/// Until when the first row at or after `seq` happened, and which it is; by the key.
pub async fn at_or_after(pool: &Pool, seq: u64) -> sqlx::Result<Option<(u64, Option<DateTime<Utc>>)>> {
    let row = sqlx::query!(
        r#"SELECT seq, occurred_at AS "occurred_at?: Moment"
           FROM outbox
           WHERE seq >= ?
           ORDER BY seq
           LIMIT 1"#,
        seq
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| (row.seq, moment(row.occurred_at))))
}

/// The last key; 0 if the table is empty.
pub async fn last_seq(pool: &Pool) -> sqlx::Result<u64> {
    let last = sqlx::query_scalar!("SELECT seq FROM outbox ORDER BY seq DESC LIMIT 1").fetch_optional(pool).await?;
    Ok(last.unwrap_or(0))
}
