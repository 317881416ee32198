//! How the events are doing on their way from the stream into the database and out as emails.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use runtime::http::docs::{Responses, documented};
use runtime::http::layers;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use crate::App;
use crate::consumer::{Connection, LastFault, Status};
use crate::metrics::{Answer, Metrics};
use crate::notification::EmailState;
use crate::outcome::Outcome;
use crate::store::{Receipt, email_count};
use schema::names;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(stats))
}

/// The way of the events, as it is now.
#[derive(Debug, Serialize, ToSchema)]
struct EventsStatus {
    connection: ConnectionState,
    /// Null if the broker does not tell.
    stream: Option<Stream>,
    /// Null if the broker does not tell.
    consumer: Option<DurableConsumer>,
    /// Age of the oldest message that is not acknowledged, 0 if there is none; null if the broker does not tell.
    #[schema(example = 0.0, minimum = 0)]
    lag_seconds: Option<f64>,
    /// When this process last committed a batch; null if it has not yet.
    last_processed_at: Option<DateTime<Utc>>,
    /// How far the stream has been read; null before this process looked.
    position: Option<Position>,
    /// What last kept this process from processing; null if nothing has. It may be over.
    last_error: Option<LastError>,
}

/// The connection to the broker.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ConnectionState {
    Connected,
    Disconnected,
}

/// The stream of the order events.
#[derive(Debug, Serialize, ToSchema)]
struct Stream {
    #[schema(example = "ORDERS")]
    name: &'static str,
    /// Messages that it holds.
    #[schema(example = 1200)]
    messages: u64,
    #[schema(example = 1)]
    first_sequence: u64,
    #[schema(example = 1200)]
    last_sequence: u64,
}

/// The durable consumer, which all replicas share.
#[derive(Debug, Serialize, ToSchema)]
struct DurableConsumer {
    #[schema(example = "notify-svc")]
    name: &'static str,
    /// Messages not delivered yet.
    #[schema(example = 0)]
    pending: u64,
    /// Messages delivered and not answered.
    #[schema(example = 0)]
    ack_pending: u64,
    /// Of those, delivered more than once.
    #[schema(example = 0)]
    redelivered: u64,
    /// All messages up to this sequence are acknowledged.
    #[schema(example = 1200)]
    ack_floor: u64,
}

/// How far the stream has been read, by what the database knows, as of a few seconds ago.
#[derive(Debug, Serialize, ToSchema)]
struct Position {
    /// Every message up to this sequence has had its effect, or is gone.
    #[schema(example = 1200)]
    floor: u64,
    /// Messages that the consumer will not bring and that are still to be read, as after a restore.
    #[schema(example = 0)]
    unread: u64,
    /// Messages that the stream dropped before they were read, for all time: above 0, notifications are missing.
    #[schema(example = 0)]
    gone: u64,
}

/// A fault that passes, or that an operator must fix; the log has its particulars.
#[derive(Debug, Serialize, ToSchema)]
struct LastError {
    #[schema(example = "broker-unreachable")]
    code: &'static str,
    #[schema(example = "the broker is not reachable")]
    message: &'static str,
    /// When it was last seen.
    at: DateTime<Utc>,
}

/// What this process has counted since it started, and what the database holds now.
#[derive(Debug, Serialize, ToSchema)]
struct EventsStats {
    /// Events that had their effect.
    #[schema(example = 1200)]
    processed: u64,
    /// Events that had had it before.
    #[schema(example = 3)]
    duplicates: u64,
    /// Events ahead of their turn, parked until the earlier ones come.
    #[schema(example = 0)]
    early: u64,
    /// Attempts at an effect that the database refused; the event is parked and tried again.
    #[schema(example = 0)]
    failed: u64,
    /// Tombstones of events that a person discarded: their versions count, without an effect.
    #[schema(example = 0)]
    tombstones: u64,
    /// Events under a used id with another payload, or of a version that was another event; they are kept in `inbox_dead`.
    #[schema(example = 0)]
    conflicts: u64,
    /// Messages that can't be processed; they are kept in `inbox_dead`.
    #[schema(example = 0)]
    dead: u64,
    /// Events that are parked now, of all replicas, as of a few seconds ago; 10000 means that many or more.
    #[schema(example = 0, minimum = 0)]
    waiting: i64,
    /// Messages in `inbox_dead` that nobody has decided about, as of a few seconds ago.
    #[schema(example = 0, minimum = 0)]
    dead_open: i64,
    /// From stored in the stream to the effect committed; null before the first event.
    latency: Option<Latency>,
    /// Deliveries of a message after its first.
    #[schema(example = 3)]
    redelivered: u64,
    #[schema(example = 1203)]
    acks: u64,
    #[schema(example = 0)]
    naks: u64,
    #[schema(example = 0)]
    terms: u64,
    emails: EmailCounts,
}

/// Percentiles, interpolated between the bounds of a histogram's buckets.
#[derive(Debug, Serialize, ToSchema)]
struct Latency {
    #[schema(example = 0.0015)]
    p50_seconds: f64,
    #[schema(example = 0.004)]
    p95_seconds: f64,
    #[schema(example = 0.008)]
    p99_seconds: f64,
}

/// Emails in the database, of all replicas and for all time.
#[derive(Debug, Serialize, ToSchema)]
struct EmailCounts {
    /// To be sent, or to be tried again.
    #[schema(example = 0, minimum = 0)]
    pending: i64,
    /// Taken by the transport.
    #[schema(example = 1200, minimum = 0)]
    sent: i64,
    /// Given up.
    #[schema(example = 0, minimum = 0)]
    dead: i64,
    /// Where counting stops: a count that equals it means that many or more.
    #[schema(example = 100_000)]
    count_max: u32,
}

struct StatusProblems;

impl IntoResponses for StatusProblems {
    fn responses() -> Responses {
        documented([layers::timed_out(), ApiError::Internal.problem()])
    }
}

struct StatsProblems;

impl IntoResponses for StatsProblems {
    fn responses() -> Responses {
        let database = ApiError::DatabaseUnavailable.problem();
        documented([database, layers::timed_out(), ApiError::Internal.problem()])
    }
}

/// Do the events arrive?
///
/// Asks the broker, for at most two seconds; answers without it, too.
#[utoipa::path(
    get,
    path = "/api/events/status",
    operation_id = "events_status",
    tag = "operations",
    responses((status = 200, description = "The way of the events", body = EventsStatus), StatusProblems)
)]
async fn status(State(app): State<App>) -> Json<EventsStatus> {
    Json(app.monitor.status().await.into())
}

/// How many events and emails?
///
/// Messages are counted since this process started; emails are counted in the database.
#[utoipa::path(
    get,
    path = "/api/events/stats",
    operation_id = "events_stats",
    tag = "operations",
    responses((status = 200, description = "The counts", body = EventsStats), StatsProblems)
)]
async fn stats(State(app): State<App>) -> Result<Json<EventsStats>, ApiError> {
    let metrics = &app.metrics;
    let emails = EmailCounts {
        pending: email_count::count(&app.pool, EmailState::Pending).await?,
        sent: email_count::count(&app.pool, EmailState::Sent).await?,
        dead: email_count::count(&app.pool, EmailState::Dead).await?,
        count_max: email_count::COUNT_MAX,
    };
    Ok(Json(EventsStats {
        processed: metrics.messages(Outcome::Applied(Receipt::First)),
        duplicates: metrics.messages(Outcome::Applied(Receipt::Duplicate)),
        early: metrics.messages(Outcome::Early),
        failed: metrics.messages(Outcome::Failed),
        tombstones: metrics.messages(Outcome::Tombstone),
        conflicts: metrics.messages(Outcome::Conflict),
        dead: metrics.messages(Outcome::Dead),
        waiting: metrics.parked.get(),
        dead_open: metrics.dead.get(),
        latency: latency(metrics),
        redelivered: metrics.redeliveries(),
        acks: metrics.answers(Answer::Ack),
        naks: metrics.answers(Answer::Nak),
        terms: metrics.answers(Answer::Term),
        emails,
    }))
}

fn latency(metrics: &Metrics) -> Option<Latency> {
    let age = |share| metrics.event_age(share);
    Some(Latency { p50_seconds: age(0.5)?, p95_seconds: age(0.95)?, p99_seconds: age(0.99)? })
}

impl From<Status> for EventsStatus {
    fn from(status: Status) -> Self {
        Self {
            connection: match status.connection {
                Connection::Connected => ConnectionState::Connected,
                Connection::Disconnected => ConnectionState::Disconnected,
            },
            stream: status.stream.map(|stream| Stream {
                name: names::STREAM,
                messages: stream.messages,
                first_sequence: stream.first_sequence,
                last_sequence: stream.last_sequence,
            }),
            consumer: status.consumer.map(|consumer| DurableConsumer {
                name: names::NOTIFY_DURABLE,
                pending: consumer.pending,
                ack_pending: consumer.ack_pending,
                redelivered: consumer.redelivered,
                ack_floor: consumer.ack_floor,
            }),
            lag_seconds: status.lag.map(|lag| lag.as_secs_f64()),
            last_processed_at: status.last_processed_at,
            position: status.position.map(|position| Position {
                floor: position.floor,
                unread: position.unread,
                gone: position.gone,
            }),
            last_error: status.last_fault.map(LastError::from),
        }
    }
}

impl From<LastFault> for LastError {
    fn from(last: LastFault) -> Self {
        Self { code: last.fault.code(), message: last.fault.describe(), at: last.at }
    }
}
