//! Publishes events to the stream and says what the broker answered.
//!
//! Guarantees: at most one event of an aggregate is in flight, and none overtakes an elder that was not acknowledged.
//! Only a PubAck from the stream that we name counts; `duplicate: true` counts once the message at that sequence is
//! seen to carry the event. The crash window between PubAck and settle is covered by the dedup window and the test
//! `a_crash_after_puback_stores_no_second_message`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ContextBuilder, ErrorCode};
use async_nats::{Client, HeaderMap, HeaderValue};
use futures::{StreamExt, stream};
use runtime::telemetry::chain;
use schema::names::MSG_ID_HEADER;

use crate::event::{Aggregate, Event};
use crate::lease::Tenure;
use crate::metrics::Metrics;

/// Aggregates that are published at the same time; each has one event in flight.
const IN_FLIGHT_MAX: usize = 512;

/// The header by which a server refuses an event that another stream would take.
const EXPECTED_STREAM_HEADER: &str = "Nats-Expected-Stream";

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The stream has it.
    Published { stream_seq: u64 },
    /// The broker knows the dedup id but the stream has not the event.
    Forgotten,
    /// The broker refused it for a reason that may pass; costs an attempt.
    Failed { reason: String },
    /// No broker would ever take it.
    Refused { reason: String },
}

/// The broker can't take events; not the fault of any of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broker takes no events: {0}")]
pub struct Outage(pub String);

/// What became of a batch. Events without an outcome were not tried and stay as they are.
#[derive(Debug, Default)]
pub struct Report {
    pub outcomes: Vec<(Event, Outcome)>,
    pub outage: Option<Outage>,
}

/// Publishes to one stream.
#[derive(Clone, Debug)]
pub struct Publisher {
    context: jetstream::Context,
    stream: String,
    metrics: Metrics,
}

impl Publisher {
    /// Each PubAck is awaited at most `timeout`.
    pub fn new(client: Client, stream: String, timeout: Duration, metrics: Metrics) -> Self {
        let context = ContextBuilder::new().timeout(timeout).max_ack_inflight(IN_FLIGHT_MAX * 2).build(client);
        Self { context, stream, metrics }
    }

    /// Publishes a batch: aggregates side by side, the events of each one after the other. Stops where the tenure
    /// ends or the broker is away.
    pub async fn publish(&self, events: Vec<Event>, tenure: &Tenure) -> Report {
        let stopped = AtomicBool::new(false);
        let outage = Mutex::new(None);
        let outcomes = stream::iter(by_aggregate(events))
            .map(|siblings| self.publish_siblings(siblings, tenure, &stopped, &outage))
            .buffer_unordered(IN_FLIGHT_MAX)
            .concat()
            .await;
        Report { outcomes, outage: outage.into_inner().expect("no holder of this lock panics") }
    }

    async fn publish_siblings(
        &self,
        siblings: Vec<Event>,
        tenure: &Tenure,
        stopped: &AtomicBool,
        outage: &Mutex<Option<Outage>>,
    ) -> Vec<(Event, Outcome)> {
        let mut outcomes = Vec::with_capacity(siblings.len());
        for event in siblings {
            if stopped.load(Ordering::Relaxed) || !tenure.is_valid() {
                break;
            }
            match self.publish_one(&event).await {
                Ok(outcome) => {
                    let goes_on = matches!(outcome, Outcome::Published { .. });
                    outcomes.push((event, outcome));
                    if !goes_on {
                        break;
                    }
                }
                Err(fault) => {
                    stopped.store(true, Ordering::Relaxed);
                    outage.lock().expect("no holder of this lock panics").get_or_insert(fault);
                    break;
                }
            }
        }
        outcomes
    }

    async fn publish_one(&self, event: &Event) -> Result<Outcome, Outage> {
        let started = Instant::now();
        let message = PublishMessage::build().payload(event.payload.clone().into()).headers(self.headers(event));
        let answer = match self.context.send_publish(event.subject.clone(), message).await {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(ack) => {
                self.metrics.puback(started.elapsed(), ack.duplicate);
                if ack.duplicate && !self.holds(ack.sequence, event).await? {
                    return Ok(Outcome::Forgotten);
                }
                Ok(Outcome::Published { stream_seq: ack.sequence })
            }
            Err(error) => classify(&error),
        }
    }

    fn headers(&self, event: &Event) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(MSG_ID_HEADER, event.msg_id());
        headers.insert(EXPECTED_STREAM_HEADER, self.stream.as_str());
        for (name, value) in event.envelope.headers() {
            headers.insert(name, value);
        }
        for (name, value) in &event.headers {
            headers.insert(name.as_str(), value.as_str());
        }
        headers
    }

    /// Whether the stream's message at this sequence is the event. Asks the leader: a follower may be behind.
    async fn holds(&self, sequence: u64, event: &Event) -> Result<bool, Outage> {
        use async_nats::jetstream::stream::RawMessageErrorKind;

        let away = |error: &dyn std::fmt::Display| Outage(format!("looking up message {sequence}: {error}"));
        let stream = self.context.get_stream_no_info(&self.stream).await.map_err(|error| away(&error))?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => {
                let id = message.headers.get(MSG_ID_HEADER).map(HeaderValue::as_str);
                Ok(id == Some(event.msg_id().as_str()))
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(away(&error)),
        }
    }
}

/// Groups a batch by aggregate, keeping the order within each and the aggregates in the order of their first event.
fn by_aggregate(events: Vec<Event>) -> Vec<Vec<Event>> {
    let mut places: HashMap<Aggregate, usize> = HashMap::new();
    let mut groups: Vec<Vec<Event>> = Vec::new();
    for event in events {
        let place = *places.entry(event.aggregate()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(event),
            None => groups.push(vec![event]),
        }
    }
    groups
}

/// Whose fault a failed publish is. What is not known to be the event's own fault is an outage: waiting loses nothing,
/// an attempt spent wrongly may kill an event.
fn classify(error: &PublishError) -> Result<Outcome, Outage> {
    let reason = chain(error);
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Ok(Outcome::Refused { reason }),
        PublishErrorKind::Other => match server_error(error) {
            Some(code) if code.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => {
                Ok(Outcome::Refused { reason })
            }
            // The stream is full (it pushes back), or another stream took the subject: mended by an operator.
            Some(code)
                if [ErrorCode::STREAM_STORE_FAILED, ErrorCode::STREAM_NOT_MATCH].contains(&code.error_code()) =>
            {
                Err(Outage(reason))
            }
            Some(code) if code.code() == 400 => Ok(Outcome::Failed { reason }),
            _ => Err(Outage(reason)),
        },
        PublishErrorKind::WrongLastMessageId | PublishErrorKind::WrongLastSequence => Ok(Outcome::Failed { reason }),
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => Err(Outage(reason)),
    }
}

fn server_error(error: &PublishError) -> Option<&jetstream::Error> {
    std::error::Error::source(error)?.downcast_ref()
}
