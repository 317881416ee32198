//! What can be said about the consumer from outside: asked live, for the API and for the gauges.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{Client, jetstream::consumer};
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::faults::{Fault, LastFault};
use super::stored;
use crate::metrics::Metrics;
use crate::source::Source;

const ASK_TIME_MAX: Duration = Duration::from_secs(2);
const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

/// A view of the consumer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Monitor {
    client: Client,
    source: Arc<Source>,
    seen: Arc<Mutex<Seen>>,
    told: watch::Sender<Vec<String>>,
}

#[derive(Debug, Default)]
struct Seen {
    last_fault: Option<LastFault>,
    /// Whether the last fault lasts; it is logged when it begins.
    troubled: bool,
    last_processed_at: Option<DateTime<Utc>>,
    position: Option<PositionState>,
}

/// How far the stream has been read, by what the database knows, as of a few seconds ago.
#[derive(Clone, Copy, Debug)]
pub struct PositionState {
    /// Every message up to here has had its effect, or is gone.
    pub floor: u64,
    /// Messages that the consumer will not bring and that are still to be read.
    pub unread: u64,
    /// Messages that the stream dropped before they were read, for all time.
    pub gone: u64,
}

/// The connection to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Open.
    Connected,
    /// Lost, or not open yet; the client keeps trying.
    Disconnected,
}

/// The state of everything between the stream and the database.
#[derive(Clone, Debug)]
pub struct Status {
    /// To the broker.
    pub connection: Connection,
    /// None if the broker does not say.
    pub stream: Option<StreamState>,
    /// None if the broker does not say.
    pub consumer: Option<ConsumerState>,
    /// Age of the oldest message without an ack, zero if there is none; none if the broker does not say.
    pub lag: Option<Duration>,
    /// When a batch was last committed.
    pub last_processed_at: Option<DateTime<Utc>>,
    /// What last kept messages from being processed.
    pub last_fault: Option<LastFault>,
    /// None before the first check of this process.
    pub position: Option<PositionState>,
}

/// The stream that is consumed.
#[derive(Clone, Copy, Debug)]
pub struct StreamState {
    /// Messages that it holds.
    pub messages: u64,
    /// Of the oldest of them.
    pub first_sequence: u64,
    /// Of the newest that it ever held.
    pub last_sequence: u64,
    /// How long it keeps a message; zero means for ever.
    pub age_max: Duration,
}

/// The durable consumer.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerState {
    /// Messages not delivered yet.
    pub pending: u64,
    /// Messages delivered and not answered.
    pub ack_pending: u64,
    /// Of those, delivered more than once.
    pub redelivered: u64,
    /// All messages up to this place in the stream are acknowledged.
    pub ack_floor: u64,
}

impl Monitor {
    /// Nothing has been seen yet.
    pub fn new(client: Client, source: Arc<Source>) -> Self {
        Self { client, source, seen: Arc::default(), told: watch::Sender::new(Vec::new()) }
    }

    /// What is read.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Notes a fault, and logs it if it is news.
    pub fn report(&self, fault: Fault) {
        let mut seen = self.seen();
        if !(seen.troubled && seen.last_fault.is_some_and(|last| last.fault == fault)) {
            tracing::warn!(fault = fault.code(), "{}", fault.describe());
        }
        seen.troubled = true;
        self.told.send_replace(vec![format!("{}: {}; {}", fault.code(), fault.describe(), fault.advice())]);
        seen.last_fault = Some(LastFault { fault, at: Utc::now() });
    }

    /// Notes that the broker answers.
    pub fn attached(&self) {
        self.seen().troubled = false;
        self.told.send_replace(Vec::new());
    }

    /// The fault that lasts, for readiness to tell. The API goes on: all replicas share what is at fault, and what they have
    /// stored can still be read.
    pub fn troubles(&self) -> watch::Receiver<Vec<String>> {
        self.told.subscribe()
    }

    /// Notes that a batch was committed.
    pub fn processed(&self) {
        let mut seen = self.seen();
        seen.troubled = false;
        self.told.send_replace(Vec::new());
        seen.last_processed_at = Some(Utc::now());
    }

    /// Notes how far the stream has been read.
    pub fn positioned(&self, position: PositionState) {
        self.seen().position = Some(position);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the broker, for at most two seconds.
    pub async fn status(&self) -> Status {
        let connected = self.client.connection_state() == State::Connected;
        let answer = if connected { timeout(ASK_TIME_MAX, self.ask()).await.ok().flatten() } else { None };
        let (stream, consumer, lag) = match answer {
            Some((stream, consumer, lag)) => (Some(stream), consumer, lag),
            None => (None, None, None),
        };
        let seen = self.seen();
        Status {
            connection: if connected { Connection::Connected } else { Connection::Disconnected },
            stream,
            consumer,
            lag,
            last_processed_at: seen.last_processed_at,
            last_fault: seen.last_fault,
            position: seen.position,
        }
    }

    /// As [`Monitor::status`], after the connection had a moment to open.
    pub async fn status_once_connected(&self) -> Status {
        if timeout(ASK_TIME_MAX, self.client.flush()).await.is_err() {
            tracing::debug!("broker is not reachable");
        }
        self.status().await
    }

    async fn ask(&self) -> Option<(StreamState, Option<ConsumerState>, Option<Duration>)> {
        let stream = jetstream::new(self.client.clone()).get_stream(&self.source.stream).await.ok()?;
        let state = &stream.cached_info().state;
        let stream_state = StreamState {
            messages: state.messages,
            first_sequence: state.first_sequence,
            last_sequence: state.last_sequence,
            age_max: stream.cached_info().config.max_age,
        };
        let Ok(info) = stream.consumer_info(&self.source.consumer).await else {
            return Some((stream_state, None, None));
        };
        let consumer = ConsumerState {
            pending: info.num_pending,
            ack_pending: info.num_ack_pending as u64,
            redelivered: info.num_redelivered as u64,
            ack_floor: info.ack_floor.stream_sequence,
        };
        let lag = lag(&self.client, &self.source.stream, stream_state.first_sequence, &info).await;
        Some((stream_state, Some(consumer), lag))
    }

    /// Keeps the gauges true until the stop.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn sample(self, metrics: Metrics, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut period = tokio::time::interval(SAMPLE_PERIOD);
        while shutdown.run_until_cancelled(period.tick()).await.is_some() {
            let status = self.status().await;
            if let Some(consumer) = status.consumer {
                metrics.pending.set(i64::try_from(consumer.pending).unwrap_or(i64::MAX));
                metrics.ack_pending.set(i64::try_from(consumer.ack_pending).unwrap_or(i64::MAX));
            }
            if let Some(lag) = status.lag {
                metrics.lag.set(lag.as_secs_f64());
            }
        }
        Ok(())
    }
}

/// Age of the oldest message without an ack; none if it can't be found out.
async fn lag(client: &Client, stream: &str, first_sequence: u64, info: &consumer::Info) -> Option<Duration> {
    if info.num_pending == 0 && info.num_ack_pending == 0 {
        return Some(Duration::ZERO);
    }
    let oldest = (info.ack_floor.stream_sequence + 1).max(first_sequence);
    let stored = stored::get(client, stream, oldest).await.ok()??;
    (Utc::now() - stored.message.stored_at).to_std().ok()
}
