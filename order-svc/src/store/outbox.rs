//! The table `outbox`, as a writer sees it: append, and look at what waits. What happens to an event afterwards is
//! outbox-relay's, and the grants of our user say so too.

use std::collections::BTreeMap;
use std::time::Duration;

use schema::event::OrderEvent;
use schema::names;
use sqlx::{MySql, MySqlPool, Transaction, query};

use crate::domain::NewEvent;

/// Where [`backlog`] stops counting: about what an index gives in ten milliseconds.
pub const COUNT_MAX: u64 = 100_000;

/// Appends an event to the outbox. Takes a transaction, because an event must commit with what it tells of. Locks its
/// row, which nobody can see yet, and never the end of the table.
///
/// # Errors
/// As the database has it.
#[tracing::instrument(
    name = "outbox.append",
    skip_all,
    fields(
        event.id = %event.id,
        event.r#type = %event.event.event_type(),
        aggregate.id = %event.event.order_id(),
    ),
)]
pub async fn append(tx: &mut Transaction<'_, MySql>, event: &NewEvent) -> sqlx::Result<()> {
    let event_type = event.event.event_type().as_str();
    query!(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject,
                             payload, headers, occurred_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        event.id,
        names::ORDER,
        event.event.order_id(),
        event.aggregate_version.get(),
        event_type,
        event_type,
        payload(&event.event)?,
        headers(event)?,
        event.occurred_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn payload(event: &OrderEvent) -> sqlx::Result<String> {
    event.payload().map_err(|error| sqlx::Error::Encode(error.into()))
}

/// The headers that the event brings along, beside those that the envelope makes of its columns.
fn headers(event: &NewEvent) -> sqlx::Result<Option<String>> {
    let Some(traceparent) = &event.traceparent else { return Ok(None) };
    let headers = BTreeMap::from([(names::TRACEPARENT_HEADER, traceparent.as_str())]);
    serde_json::to_string(&headers).map(Some).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// How many events wait in each state; none is counted beyond [`COUNT_MAX`].
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// To be published.
    pub pending: u64,
    /// Behind a dead event of their order.
    pub held: u64,
    /// In need of a person.
    pub dead: u64,
}

/// Counts by the index `claim`, which holds nothing but state and seq. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn backlog(pool: &MySqlPool) -> sqlx::Result<Backlog> {
    let row = query!(
        r#"SELECT
             (SELECT COUNT(*) FROM (SELECT seq FROM outbox WHERE state = 'pending' LIMIT ?) AS p) AS "pending!: i64",
             (SELECT COUNT(*) FROM (SELECT seq FROM outbox WHERE state = 'held' LIMIT ?) AS h) AS "held!: i64",
             (SELECT COUNT(*) FROM (SELECT seq FROM outbox WHERE state = 'dead' LIMIT ?) AS d) AS "dead!: i64""#,
        COUNT_MAX,
        COUNT_MAX,
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await?;
    let [pending, held, dead] = [row.pending, row.held, row.dead].map(i64::unsigned_abs);
    Ok(Backlog { pending, held, dead })
}

/// The event that is claimed next.
#[derive(Clone, Debug)]
pub struct OldestPending {
    /// Since it happened, by the database clock.
    pub age: Duration,
    /// Why it could not be published, if that was tried.
    pub last_error: Option<String>,
}

/// Reads the first pending row of the index `claim`. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn oldest_pending(pool: &MySqlPool) -> sqlx::Result<Option<OldestPending>> {
    let row = query!(
        r#"SELECT TIMESTAMPDIFF(MICROSECOND, occurred_at, UTC_TIMESTAMP(6)) AS "age_us!: i64", last_error
           FROM outbox
           WHERE state = 'pending'
           ORDER BY seq
           LIMIT 1"#
    )
    .fetch_optional(pool)
    .await?;
    // The clocks of the writer and of the database may differ: an event from the future is of age 0.
    let age = |us: i64| Duration::from_micros(u64::try_from(us).unwrap_or(0));
    Ok(row.map(|row| OldestPending { age: age(row.age_us), last_error: row.last_error }))
}

/// The reason of the youngest dead row of the index `claim`. Locks nothing.
///
/// # Errors
/// As the database has it.
pub async fn youngest_dead_error(pool: &MySqlPool) -> sqlx::Result<Option<String>> {
    let row = query!(
        "SELECT last_error
         FROM outbox
         WHERE state = 'dead'
         ORDER BY seq DESC
         LIMIT 1"
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.and_then(|row| row.last_error))
}
