//! The table `outbox`, as an operator asks for it: how much there is of each state, how old, how fast.
//!
//! Guarantees an answer in milliseconds at any size: every statement reads the index `claim` (state, seq) from one end
//! and stops after a bounded number of rows. Test `the_status_reads_a_bounded_part_of_the_outbox`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use schema::ids::EventId;
use schema::names;
use serde::Serialize;
use sqlx::{query, query_as};
use utoipa::ToSchema;

use crate::trouble::Trouble;

/// Where counting stops: about what an index gives in ten milliseconds.
pub(crate) const COUNT_MAX: u64 = 100_000;
/// The span that [`publishing`] looks back over.
pub(crate) const RATE_WINDOW: Duration = Duration::from_secs(60);
/// Where [`publishing`] stops reading: that many events say enough about a rate.
const RATE_EVENTS_MAX: u32 = 1000;

/// How many of the events that a person has to decide about are told one by one.
const NEWEST: u32 = 10;

/// Events that wait and are passed over to find the oldest one that does not.
const PASSED_OVER_MAX: u32 = 10_000;

/// How many events are in each state; none is counted beyond [`COUNT_MAX`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// To be published.
    pub(crate) pending: u64,
    /// Behind a dead event of their aggregate.
    pub(crate) held: u64,
    /// In need of a person.
    pub(crate) dead: u64,
    /// In the stream, as far as the relay knows.
    pub(crate) published: u64,
}

/// Counts by the index `claim`, which holds nothing but state and seq. Locks nothing.
///
/// # Errors
/// As the database has it.
pub(crate) async fn counts(pool: &Pool) -> sqlx::Result<Counts> {
    let row = query!(
        r#"SELECT
             (SELECT COUNT(*) FROM (SELECT seq FROM outbox WHERE state = 'pending' LIMIT ?) AS p) AS "pending!: i64",
             (SELECT COUNT(*) FROM (SELECT seq FROM outbox WHERE state = 'held' LIMIT ?) AS h) AS "held!: i64",
             (SELECT COUNT(*) FROM (SELECT seq FROM outbox WHERE state = 'dead' LIMIT ?) AS d) AS "dead!: i64",
             (SELECT COUNT(*) FROM (SELECT seq FROM outbox WHERE state = 'published' LIMIT ?) AS u) AS "published!: i64""#,
        COUNT_MAX,
        COUNT_MAX,
        COUNT_MAX,
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await?;
    let [pending, held, dead, published] = [row.pending, row.held, row.dead, row.published].map(i64::unsigned_abs);
    Ok(Counts { pending, held, dead, published })
}

/// The numbers from the first published event's to the last one's, both included: at least as many as there are published
/// events, and few more, because only inserts that were rolled back and events that are not published yet leave gaps.
///
/// # Errors
/// As the database has it.
pub(crate) async fn published_span(pool: &Pool) -> sqlx::Result<u64> {
    let row = query!(
        r#"SELECT
             (SELECT seq FROM outbox WHERE state = 'published' ORDER BY seq LIMIT 1) AS "first: u64",
             (SELECT seq FROM outbox WHERE state = 'published' ORDER BY seq DESC LIMIT 1) AS "last: u64""#
    )
    .fetch_one(pool)
    .await?;
    Ok(row.first.zip(row.last).map_or(0, |(first, last)| last.saturating_sub(first) + 1))
}

/// What was published lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publishing {
    /// Events a second over the last minute; at high rates, over the newest thousand events.
    pub(crate) rate: f64,
    /// When the newest of them was settled.
    pub(crate) last_at: Option<DateTime<Utc>>,
    /// About how many published events are not proven to be in the stream yet: exact if they are fewer than a thousand,
    /// else what the stream has taken since, of others too.
    pub(crate) unproven: u64,
}

/// Reads the newest published rows of the index `claim`, a thousand at most, with their rows. Locks nothing.
///
/// # Errors
/// As the database has it.
pub(crate) async fn publishing(pool: &Pool) -> sqlx::Result<Publishing> {
    let row = query!(
        r#"SELECT COUNT(CASE WHEN published_at > UTC_TIMESTAMP(6) - INTERVAL ? SECOND THEN 1 END) AS "recent!: i64",
                  COUNT(*) AS "read!: i64",
                  TIMESTAMPDIFF(MICROSECOND, MIN(published_at), UTC_TIMESTAMP(6)) AS "span_us: i64",
                  MAX(published_at) AS "last_at: DateTime<Utc>",
                  COUNT(CASE WHEN stream_seq > proven_seq THEN 1 END) AS "unproven!: i64",
                  MAX(stream_seq) AS "highest: u64",
                  MAX(proven_seq) AS "proven: u64"
           FROM (SELECT published_at, stream_seq,
                        (SELECT proven_seq FROM relay_stream WHERE name = ?) AS proven_seq
                 FROM outbox
                 WHERE state = 'published'
                 ORDER BY seq DESC
                 LIMIT ?) AS newest"#,
        RATE_WINDOW.as_secs(),
        names::OUTBOX_LEASE,
        RATE_EVENTS_MAX,
    )
    .fetch_one(pool)
    .await?;
    // If all that were read are recent, more may be: the rate is theirs, over the time that they took.
    let all_recent = row.recent == row.read && row.read == i64::from(RATE_EVENTS_MAX);
    let span = row.span_us.filter(|_| all_recent).map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
    let seconds = span.unwrap_or(RATE_WINDOW).max(Duration::from_millis(1)).as_secs_f64();
    let unproven = match row.highest.zip(row.proven) {
        // None of those that were read is proven: more may not be.
        Some((highest, proven)) if row.unproven == i64::from(RATE_EVENTS_MAX) => highest.saturating_sub(proven),
        _ => row.unproven.unsigned_abs(),
    };
    let rate = f64::from(i32::try_from(row.recent).unwrap_or(i32::MAX)) / seconds;
    Ok(Publishing { rate, last_at: row.last_at, unproven })
}

/// The event that is claimed next.
#[derive(Clone, Debug)]
pub(crate) struct OldestPending {
    /// Since it was inserted, by the database clock.
    pub(crate) age: Duration,
    /// Why it could not be published, if that was tried.
    pub(crate) last_error: Option<Trouble>,
}

/// Reads the first pending row of the index `claim` that does not wait for its next attempt, among `PASSED_OVER_MAX`. Locks
/// nothing.
///
/// # Errors
/// As the database has it.
pub(crate) async fn oldest_pending(pool: &Pool) -> sqlx::Result<Option<OldestPending>> {
    let row = query!(
        r#"SELECT TIMESTAMPDIFF(MICROSECOND, inserted_at, UTC_TIMESTAMP(6)) AS "age_us: i64",
                  IF(last_error IS NULL, NULL, 'retrying') AS "last_error: Trouble"
           FROM (SELECT seq, inserted_at, next_attempt_at, last_error
                 FROM outbox
                 WHERE state = 'pending'
                 ORDER BY seq
                 LIMIT ?) AS pending
           WHERE next_attempt_at IS NULL
              OR next_attempt_at <= UTC_TIMESTAMP(6)
           ORDER BY seq
           LIMIT 1"#,
        PASSED_OVER_MAX
    )
    .fetch_optional(pool)
    .await?;
    // A database clock that was set back makes no age negative.
    let age = |us: Option<i64>| Duration::from_micros(u64::try_from(us.unwrap_or(0)).unwrap_or(0));
    Ok(row.map(|row| OldestPending { age: age(row.age_us), last_error: row.last_error }))
}

/// An event that is not published until a person decides.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StuckEvent {
    /// Its identity.
    #[schema(value_type = Uuid, example = "019aab1e-5c3b-7000-8000-3f2b8c6d4a11")]
    pub event_id: EventId,
    /// What happened.
    #[schema(example = "order.created")]
    pub event_type: String,
    /// What it happened to.
    #[schema(example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    pub aggregate_id: String,
    /// Why it could not be published; null if it waits for an earlier event or a paused subject.
    #[schema(example = "given-up")]
    pub last_error: Option<Trouble>,
}

/// The newest rows of a state, by the index `claim`. Locks nothing.
///
/// # Errors
/// As the database has it.
pub(crate) async fn newest(pool: &Pool, state: &str) -> sqlx::Result<Vec<StuckEvent>> {
    query_as!(
        StuckEvent,
        r#"SELECT event_id AS "event_id: EventId", event_type, aggregate_id,
                  CASE WHEN last_error IS NULL THEN NULL WHEN state = 'dead' THEN 'given-up' ELSE 'retrying' END
                      AS "last_error: Trouble"
           FROM outbox
           WHERE state = ?
           ORDER BY seq DESC
           LIMIT ?"#,
        state,
        NEWEST,
    )
    .fetch_all(pool)
    .await
}
