//! Publishes events to the stream and says what the broker answered.
//!
//! Two paths. The fast one ([`atomic`]) gives the broker a claimed batch as one atomic batch with one PubAck; the
//! careful one ([`careful`]) gives it single events, at most one of an aggregate in flight. A batch that the broker
//! refuses as a whole stored nothing and goes down the careful path, which finds the event at fault. On either path none
//! overtakes an elder that was not acknowledged. Only a PubAck from the stream that we name counts; `duplicate: true`
//! counts once the message at that sequence is seen to carry the event.

mod atomic;
mod careful;
pub mod compare;
mod faults;
pub mod look;
mod message;
pub mod stored;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::{self, ContextBuilder};

use self::atomic::{NotStored, Staged};
use crate::event::Event;
use crate::lease::Tenure;
use crate::metrics::{Metrics, Path};

/// Fewer events than this are cheaper and quicker one by one: a batch costs the broker a staging folder.
const ATOMIC_FROM: usize = 24;

/// What the broker takes in one atomic batch, unless its configuration says less; then it refuses, and we are careful.
const ATOMIC_MAX: usize = 1_000;

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
    /// How many events were to be published.
    pub asked: usize,
}

impl Report {
    /// Whether every event is in the stream, so that what follows them may follow.
    pub fn is_clean(&self) -> bool {
        self.outcomes.len() == self.asked
            && self.outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Published { .. }))
    }
}

/// How events are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PublishPath {
    /// Many events as one atomic batch where stream and server allow it, else careful.
    Auto,
    /// Always one by one.
    Careful,
}

/// Publishes to one stream.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    context: jetstream::Context,
    stream: String,
    path: PublishPath,
    timeout: Duration,
    /// What the stream said when it was last looked at.
    stream_allows_atomic: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Publisher {
    /// Each PubAck is awaited at most `timeout`.
    pub fn new(client: Client, stream: String, path: PublishPath, timeout: Duration, metrics: Metrics) -> Self {
        let context =
            ContextBuilder::new().timeout(timeout).max_ack_inflight(careful::IN_FLIGHT_MAX * 2).build(client.clone());
        Self { client, context, stream, path, timeout, stream_allows_atomic: Arc::default(), metrics }
    }

    /// Notes whether the stream takes atomic batches, which a server that can't do them never says.
    pub fn allow_atomic(&self, allowed: bool) {
        self.stream_allows_atomic.store(allowed, Ordering::Relaxed);
    }

    /// The largest message that the broker takes, in bytes.
    pub fn payload_bytes_max(&self) -> usize {
        self.client.max_payload()
    }

    /// Whether there is a connection to the broker.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Publishes a batch given in `seq` order, in parts. While the broker stores one, the next is made ready, and it goes
    /// only if the one before is wholly in the stream: what follows a failed elder is for the next claim. Stops where the
    /// tenure ends or the broker is away.
    pub async fn publish(&self, events: Vec<Event>, tenure: &Tenure) -> Report {
        let mut report = Report { asked: events.len(), ..Report::default() };
        let mut parts = parts(events).into_iter();
        let mut ready = self.prepare(parts.next()).await;
        while let Some(part) = ready.filter(|_| tenure.is_valid()) {
            let (is_stored, next) = tokio::join!(self.finish(part, tenure, &mut report), self.prepare(parts.next()));
            ready = next.filter(|_| is_stored);
        }
        report
    }

    /// Brings a part as far as it can go without being stored.
    async fn prepare(&self, events: Option<Vec<Event>>) -> Option<Part> {
        let events = events?;
        let allowed = self.path == PublishPath::Auto && self.stream_allows_atomic.load(Ordering::Relaxed);
        if !allowed || events.len() < ATOMIC_FROM {
            return Some(Part::Single(events, Path::Careful));
        }
        Some(match self.stage(events).await {
            Ok(staged) => Part::Batch(staged),
            Err((events, reason)) => {
                log_refusal(&events, &reason);
                Part::Single(events, Path::AfterRefusal)
            }
        })
    }

    /// Has a part stored and adds what became of it to the report; whether all of it is in the stream.
    async fn finish(&self, part: Part, tenure: &Tenure, report: &mut Report) -> bool {
        let batch = match part {
            Part::Single(events, path) => return self.publish_singly(events, path, tenure, report).await,
            Part::Batch(batch) => batch,
        };
        match self.commit(&batch, tenure).await {
            Ok(first_seq) => {
                self.metrics.batch(Path::Atomic, batch.events.len());
                let numbered = batch.events.into_iter().zip(first_seq..);
                let published = numbered.map(|(event, stream_seq)| (event, Outcome::Published { stream_seq }));
                report.outcomes.extend(published);
                true
            }
            Err(NotStored::Outage(outage)) => {
                report.outage = Some(outage);
                false
            }
            Err(NotStored::Refused(reason)) => {
                log_refusal(&batch.events, &reason);
                self.publish_singly(batch.events, Path::AfterRefusal, tenure, report).await
            }
        }
    }

    async fn publish_singly(&self, events: Vec<Event>, path: Path, tenure: &Tenure, report: &mut Report) -> bool {
        let (before, asked) = (report.outcomes.len(), events.len());
        self.metrics.batch(path, asked);
        self.publish_one_by_one(events, tenure, report).await;
        let outcomes = &report.outcomes[before..];
        outcomes.len() == asked && outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Published { .. }))
    }
}

fn log_refusal(events: &[Event], reason: &str) {
    tracing::info!(events = events.len(), reason, "atomic batch refused, publishing one by one");
}

/// What is published at once: one batch, or single events.
enum Part {
    Batch(Staged),
    Single(Vec<Event>, Path),
}

/// The events in their order, up to [`ATOMIC_MAX`] in a part.
fn parts(mut events: Vec<Event>) -> Vec<Vec<Event>> {
    let mut parts = Vec::new();
    while !events.is_empty() {
        let rest = events.split_off(events.len().min(ATOMIC_MAX));
        parts.push(std::mem::replace(&mut events, rest));
    }
    parts
}
