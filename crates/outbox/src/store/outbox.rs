//! The table `outbox`, as a writer sees it: append, and read one aggregate's events. What happens to an event afterwards is
//! outbox-relay's, and the grants of a writer say so too.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use runtime::mysql::rows::{self, Inserts};
use runtime::mysql::{Pool, Receipt};
use schema::aggregate::AggregateId;
use schema::ids::EventId;
use serde::Serialize;
use sqlx::{query, query_as, query_scalar};
use utoipa::ToSchema;

use crate::event::Append;
use crate::transaction::OpenTransaction;
use crate::trouble::Trouble;

/// Where [`story`] stops.
const STORY_MAX: u32 = 100;

static INSERTS: Inserts = runtime::inserts!(
    "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, headers, occurred_at)
     VALUES ",
    "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

/// Inserts events, whose order their numbers follow. Locks their rows, which nobody can see yet, and never the end of the
/// table. An id or a version of theirs may be taken.
pub(crate) async fn insert(tx: &mut impl OpenTransaction, appends: &[Append<'_>]) -> sqlx::Result<Receipt> {
    for (insert, appends) in rows::pieces(&INSERTS, appends) {
        let mut insert = query(insert);
        for append in appends {
            let event = append.event;
            insert = insert
                .bind(event.id)
                .bind(&*event.aggregate_type)
                .bind(event.aggregate_id)
                .bind(event.aggregate_version.get())
                .bind(&*event.event_type)
                .bind(&*event.event_type)
                .bind(&event.payload)
                .bind(append.headers()?)
                .bind(event.occurred_at);
        }
        if Receipt::of(insert.execute(tx.executor()).await)? == Receipt::Duplicate {
            return Ok(Receipt::Duplicate);
        }
    }
    Ok(Receipt::First)
}

/// Whether the event is there. Locks nothing.
pub(crate) async fn exists(tx: &mut impl OpenTransaction, id: EventId) -> sqlx::Result<bool> {
    let found = query_scalar!(r#"SELECT 1 AS "found!: i32" FROM outbox WHERE event_id = ?"#, id);
    Ok(found.fetch_optional(tx.executor()).await?.is_some())
}

/// The versions after `version` that events of the aggregate have already, in order: at most `limit`, by the index
/// `aggregate`. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn versions_after(
    tx: &mut impl OpenTransaction,
    (aggregate_type, aggregate_id): (&str, AggregateId),
    version: NonZeroU32,
    limit: u32,
) -> sqlx::Result<Vec<u32>> {
    query_scalar!(
        r#"SELECT aggregate_version AS "aggregate_version!"
           FROM outbox
           WHERE aggregate_type = ?
             AND aggregate_id = ?
             AND aggregate_version > ?
           ORDER BY aggregate_version
           LIMIT ?"#,
        aggregate_type,
        aggregate_id,
        version.get(),
        limit,
    )
    .fetch_all(tx.executor())
    .await
}

/// An event and what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct StoredEvent {
    /// Its identity, the `ce-id` of its message.
    #[schema(value_type = Uuid, example = "019aab1e-5c3b-7000-8000-3f2b8c6d4a11")]
    pub event_id: EventId,
    /// What happened.
    #[schema(example = "order.created")]
    pub event_type: String,
    /// The version that it made; null if its writer keeps none.
    #[schema(minimum = 1, example = 1)]
    pub version: Option<u32>,
    /// `pending`, `published`, `held` behind a dead event, or `dead`: in need of a person.
    #[schema(pattern = "^(pending|published|held|dead)$", example = "published")]
    pub state: String,
    /// Failed publishes that were its own fault; an outage of the broker counts none.
    #[schema(example = 0)]
    pub attempts: u32,
    /// Why it could not be published; null if it was not tried, or if it waits for an earlier event.
    #[schema(example = json!(null))]
    pub last_error: Option<Trouble>,
    /// When it happened.
    #[schema(example = "2026-11-22T11:30:00.123456Z")]
    pub occurred_at: DateTime<Utc>,
    /// When publishing is tried again.
    #[schema(example = json!(null))]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When the broker's acknowledgement was recorded.
    #[schema(example = "2026-11-22T11:30:00.125123Z")]
    pub published_at: Option<DateTime<Utc>>,
    /// Its sequence in the stream.
    #[schema(example = 4711)]
    pub stream_sequence: Option<u64>,
}

/// Reads the first hundred events of an aggregate in version order, by the index `aggregate`. An event to which another writer
/// gave no date, such as `0000-00-00`, is of 1970. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn story(pool: &Pool, aggregate_type: &str, aggregate_id: AggregateId) -> sqlx::Result<Vec<StoredEvent>> {
    query_as!(
        StoredEvent,
        r#"SELECT event_id AS "event_id: EventId", aggregate_version AS version, event_type, state, attempts,
                  CASE WHEN last_error IS NULL THEN NULL WHEN state = 'dead' THEN 'given-up' ELSE 'retrying' END
                      AS "last_error: Trouble",
                  IF(MONTH(occurred_at) > 0 AND DAYOFMONTH(occurred_at) > 0,
                     occurred_at, TIMESTAMP '1970-01-01 00:00:00') AS "occurred_at!: DateTime<Utc>",
                  next_attempt_at AS "next_attempt_at: DateTime<Utc>",
                  NULLIF(published_at, '1970-01-01') AS "published_at?: DateTime<Utc>",
                  NULLIF(stream_seq, 0) AS "stream_sequence?: u64"
           FROM outbox
           WHERE aggregate_type = ?
             AND aggregate_id = ?
           ORDER BY aggregate_version
           LIMIT ?"#,
        aggregate_type,
        aggregate_id,
        STORY_MAX,
    )
    .fetch_all(pool)
    .await
}
