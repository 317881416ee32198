//! What a service answers about its inbox, over HTTP or anywhere: how the events are on their way from the stream into the
//! database, and how many there were.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Receipt};
use serde::Serialize;
use utoipa::ToSchema;

use crate::consumer::{Connection, LastFault, Monitor};
use crate::message::Claimed;
use crate::metrics::{Answer, Metrics};
use crate::outcome::Outcome;
use crate::store::inbox_dead_list::{self, DeadLine, Wanted};

/// The way of the events, as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventsStatus {
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
    /// How far the stream has been read; null before this process checked.
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

/// The stream of the events.
#[derive(Debug, Serialize, ToSchema)]
struct Stream {
    #[schema(example = "ORDERS")]
    name: String,
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
    name: String,
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
    /// Messages that the stream dropped before they were read, for all time: above 0, effects are missing.
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
pub struct EventsStats {
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
    /// Events of types that the service does not handle: their versions count, without an effect.
    #[schema(example = 0)]
    ignored: u64,
    /// Messages about other types of aggregates, passed over.
    #[schema(example = 0)]
    foreign: u64,
    /// Events whose effect could not be written yet; they are parked and tried again.
    #[schema(example = 0)]
    later: u64,
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

/// A message that can't be processed, without its body and the reason, which may quote it: `message show` has both.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeadMessage {
    /// Its id.
    #[schema(example = 1)]
    pub id: u64,
    /// Its place in the stream.
    pub stream_sequence: u64,
    /// The subject it was published to.
    pub subject: String,
    /// Which event it says it is.
    #[serde(flatten)]
    pub claimed: Claimed,
    /// When that was found.
    pub dead_at: DateTime<Utc>,
}

impl From<DeadLine> for DeadMessage {
    fn from(line: DeadLine) -> Self {
        let DeadLine { id, stream_sequence, subject, claimed, reason: _, dead_at } = line;
        Self { id, stream_sequence, subject, claimed, dead_at }
    }
}

impl EventsStatus {
    /// What a monitor knows and the broker says. Asks the broker, for at most two seconds; answers without it, too.
    pub async fn of(monitor: &Monitor) -> Self {
        let (status, source) = (monitor.status().await, monitor.source());
        Self {
            connection: match status.connection {
                Connection::Connected => ConnectionState::Connected,
                Connection::Disconnected => ConnectionState::Disconnected,
            },
            stream: status.stream.map(|stream| Stream {
                name: source.stream.clone(),
                messages: stream.messages,
                first_sequence: stream.first_sequence,
                last_sequence: stream.last_sequence,
            }),
            consumer: status.consumer.map(|consumer| DurableConsumer {
                name: source.consumer.clone(),
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

impl EventsStats {
    /// What was counted.
    pub fn of(metrics: &Metrics) -> Self {
        Self {
            processed: metrics.messages(Outcome::Applied(Receipt::First)),
            duplicates: metrics.messages(Outcome::Applied(Receipt::Duplicate)),
            early: metrics.messages(Outcome::Early),
            failed: metrics.messages(Outcome::Failed),
            ignored: metrics.messages(Outcome::Ignored),
            foreign: metrics.messages(Outcome::Foreign),
            later: metrics.messages(Outcome::Later),
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
        }
    }
}

fn latency(metrics: &Metrics) -> Option<Latency> {
    let age = |share| metrics.event_age(share);
    Some(Latency { p50_seconds: age(0.5)?, p95_seconds: age(0.95)?, p99_seconds: age(0.99)? })
}

/// The first ten dead messages that nobody has decided about.
///
/// # Errors
/// As the database has it.
pub async fn dead_messages(pool: &Pool, monitor: &Monitor) -> sqlx::Result<Vec<DeadMessage>> {
    let wanted = Wanted { after: 0, reason_part: None, lines_max: 10 };
    let found = inbox_dead_list::list(pool, monitor.source(), wanted).await?;
    Ok(found.into_iter().map(DeadMessage::from).collect())
}
