//! The table `outbox`, for people. Every statement reads a bounded number of rows by an index, however
//! large the table is, and locks nothing.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use schema::aggregate::AggregateId;
use schema::sequence::{Seq, StreamSeq};
use serde::Serialize;
use uuid::Uuid;

use super::column::{JsonText, Moment};
use super::state::State;
use crate::heal_epoch::HealEpoch;

/// Rows that one statement of a list reads.
const WINDOW: u64 = 10_000;

/// A row of a list.
#[derive(Debug, Serialize)]
pub struct ListedRow {
    pub seq: Seq,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_version: Option<u32>,
    pub event_type: String,
    pub state: State,
    pub attempts: u32,
    pub occurred_at: Option<Moment>,
    pub stream_seq: Option<StreamSeq>,
    pub last_error: Option<String>,
}

/// All of a row.
#[derive(Debug, Serialize)]
pub struct ShownRow {
    pub seq: Seq,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_version: Option<u32>,
    pub event_type: String,
    pub subject: String,
    pub payload: JsonText,
    pub headers: Option<JsonText>,
    pub occurred_at: Option<Moment>,
    pub state: State,
    pub attempts: u32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub published_at: Option<DateTime<Utc>>,
    pub stream_seq: Option<StreamSeq>,
    pub heal_epoch: HealEpoch,
    pub discarded_at: Option<DateTime<Utc>>,
}

/// What a list is narrowed to; none means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub aggregate: Option<(String, AggregateId)>,
    pub event_type: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// Only rows with a smaller key.
    pub before: Seq,
}

/// `query_as!` of the newest rows of a filter, which is narrowed further from the FROM clause on.
macro_rules! listed_rows {
    ($filter:expr, $limit:expr, $from:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            ListedRow,
            r#"SELECT seq, event_id AS "event_id: Uuid", aggregate_type, aggregate_id,
                  aggregate_version, event_type, state AS "state: State", attempts,
                  occurred_at AS "occurred_at?: Moment", NULLIF(stream_seq, 0) AS "stream_seq?: StreamSeq", last_error
           "# + $from
            + " AND (? IS NULL OR event_type = ?)
             AND (? IS NULL OR occurred_at >= ?)
             AND (? IS NULL OR occurred_at < ?)
           ORDER BY seq DESC
           LIMIT ?",
            $($argument,)*
            $filter.event_type,
            $filter.event_type,
            $filter.since,
            $filter.since,
            $filter.until,
            $filter.until,
            $limit
        )
    };
}

/// The newest events of a filter, newest first: by the index `aggregate`, or by `claim`, or by the key. A time is compared
/// with every row: rows are in the order of their insertion, and an import or a writer in another time zone gives them any
/// time. So the windows go on to the oldest row, unless there are enough events before.
pub async fn list(pool: &Pool, filter: &Filter, limit: u32) -> sqlx::Result<Vec<ListedRow>> {
    if let Some(aggregate) = &filter.aggregate {
        return of_aggregate(pool, aggregate, filter, limit).await;
    }
    let mut found = Vec::new();
    let mut before = filter.before;
    while found.len() < limit as usize && before > Seq::ZERO {
        let window = match filter.state {
            Some(state) => first_in_state(pool, state, before).await?,
            None => first_below(pool, before).await?,
        };
        let window = (window.unwrap_or_default(), before);
        let more = limit - u32::try_from(found.len()).unwrap_or(limit);
        found.extend(match filter.state {
            Some(state) => in_state(pool, state, filter, window, more).await?,
            None => newest(pool, filter, window, more).await?,
        });
        before = window.0;
    }
    Ok(found)
}

/// The first key of the window that ends below `before`; none if it reaches to the first row.
async fn first_in_state(pool: &Pool, state: State, before: Seq) -> sqlx::Result<Option<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT seq AS "seq: Seq"
         FROM outbox FORCE INDEX (claim)
         WHERE state = ?
           AND seq < ?
         ORDER BY seq DESC
         LIMIT 1 OFFSET ?"#,
        state.as_str(),
        before,
        WINDOW
    )
    .fetch_optional(pool)
    .await
}

/// As [`first_in_state`], for all states.
async fn first_below(pool: &Pool, before: Seq) -> sqlx::Result<Option<Seq>> {
    sqlx::query_scalar!(
        r#"SELECT seq AS "seq: Seq"
         FROM outbox FORCE INDEX (PRIMARY)
         WHERE seq < ?
         ORDER BY seq DESC
         LIMIT 1 OFFSET ?"#,
        before,
        WINDOW
    )
    .fetch_optional(pool)
    .await
}

/// The keys are sorted first, and then the rows are read: rows are wider than what a server sorts in memory.
async fn of_aggregate(
    pool: &Pool,
    (aggregate_type, aggregate_id): &(String, AggregateId),
    filter: &Filter,
    limit: u32,
) -> sqlx::Result<Vec<ListedRow>> {
    let state = filter.state.map(State::as_str);
    let mut rows = sqlx::query_as!(
        ListedRow,
        r#"SELECT outbox.seq, outbox.event_id AS "event_id: Uuid", outbox.aggregate_type,
                  outbox.aggregate_id, outbox.aggregate_version, outbox.event_type,
                  outbox.state AS "state: State", outbox.attempts,
                  outbox.occurred_at AS "occurred_at?: Moment", NULLIF(outbox.stream_seq, 0) AS "stream_seq?: StreamSeq",
                  outbox.last_error
           FROM (SELECT seq
                 FROM outbox
                 WHERE aggregate_type = ?
                   AND aggregate_id = ?
                   AND seq < ?
                   AND (? IS NULL OR state = ?)
                   AND (? IS NULL OR event_type = ?)
                   AND (? IS NULL OR occurred_at >= ?)
                   AND (? IS NULL OR occurred_at < ?)
                 ORDER BY seq DESC
                 LIMIT ?) AS newest
           JOIN outbox ON outbox.seq = newest.seq"#,
        aggregate_type,
        aggregate_id,
        filter.before,
        state,
        state,
        filter.event_type,
        filter.event_type,
        filter.since,
        filter.since,
        filter.until,
        filter.until,
        limit
    )
    .fetch_all(pool)
    .await?;
    rows.sort_by_key(|row| Reverse(row.seq));
    Ok(rows)
}

async fn in_state(
    pool: &Pool,
    state: State,
    filter: &Filter,
    (first, before): (Seq, Seq),
    limit: u32,
) -> sqlx::Result<Vec<ListedRow>> {
    let state = state.as_str();
    listed_rows!(
        filter,
        limit,
        "FROM outbox FORCE INDEX (claim) WHERE state = ? AND seq >= ? AND seq < ?",
        state,
        first,
        before
    )
    .fetch_all(pool)
    .await
}

async fn newest(pool: &Pool, filter: &Filter, (first, before): (Seq, Seq), limit: u32) -> sqlx::Result<Vec<ListedRow>> {
    listed_rows!(filter, limit, "FROM outbox FORCE INDEX (PRIMARY) WHERE seq >= ? AND seq < ?", first, before)
        .fetch_all(pool)
        .await
}

/// One event.
pub async fn show(pool: &Pool, event_id: Uuid) -> sqlx::Result<Option<ShownRow>> {
    sqlx::query_as!(
        ShownRow,
        r#"SELECT seq, event_id AS "event_id: Uuid", aggregate_type, aggregate_id,
                  aggregate_version, event_type, subject,
                  payload AS "payload: JsonText",
                  headers AS "headers: JsonText",
                  occurred_at AS "occurred_at?: Moment",
                  state AS "state: State", attempts,
                  next_attempt_at AS "next_attempt_at: DateTime<Utc>",
                  last_error,
                  NULLIF(published_at, '1970-01-01') AS "published_at?: DateTime<Utc>",
                  NULLIF(stream_seq, 0) AS "stream_seq?: StreamSeq", heal_epoch,
                  discarded_at AS "discarded_at: DateTime<Utc>"
           FROM outbox
           WHERE event_id = ?"#,
        event_id
    )
    .fetch_optional(pool)
    .await
}

/// The last key; 0 if the table is empty.
pub async fn last_seq(pool: &Pool) -> sqlx::Result<Seq> {
    let last = sqlx::query_scalar!(r#"SELECT seq AS "seq: Seq" FROM outbox ORDER BY seq DESC LIMIT 1"#);
    Ok(last.fetch_optional(pool).await?.unwrap_or_default())
}
