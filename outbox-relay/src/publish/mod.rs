//! Publishes events to the stream and says what the broker answered.
//!
//! Two paths. The fast one ([`atomic`]) gives the broker a claimed batch as one atomic batch with one PubAck; the
//! careful one ([`careful`]) gives it single events, many under way at once. On either path a message is stored only where the
//! stream ends as the relay expects ([`fence`]), so none overtakes an earlier one that was not acknowledged, and what a
//! relay that was replaced left on its way is refused. A batch that the broker refuses as a whole stored nothing and goes down
//! the careful path, which finds the event at fault. Only a PubAck from the stream that we name counts; `duplicate: true`
//! counts once the message at that sequence is seen to carry the event.
//!
//! A publisher lives from one attach to the stream to the next, and its connection with it: an unknown outcome ends both.

mod ask;
mod atomic;
mod careful;
pub mod compare;
mod consumers;
mod faults;
mod fence;
mod message;
pub mod probe;
mod queue;
pub mod replayer;
pub mod stored;
pub mod stream_now;
mod tail;
mod traced;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::{self, ContextBuilder};
use schema::sequence::StreamSeq;

use self::fence::{BURST_MAX, Fence};
use self::queue::Queue;
use self::stored::Stored;
use crate::config::PublishPath;
use crate::event::Event;
use crate::lease::Tenure;
use crate::limits::Over;
use crate::metrics::{Metrics, Path, Publish};
use crate::terms::Terms;

/// Fewer events than this are cheaper and quicker one by one: a batch costs the broker a staging folder.
const ATOMIC_FROM: usize = 24;

/// Refusals in a row after which the relay reads the outbox again.
const FRUITLESS_MAX: u32 = 64;

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The stream has it.
    Published { stream_seq: StreamSeq },
    /// The broker knows the dedup id but the stream has not the event.
    Forgotten,
    /// The broker refused it for a reason that may pass; costs an attempt.
    Failed { reason: String },
    /// No broker would ever take it.
    Refused { reason: String },
    /// It is larger than a limit that somebody set.
    OverLimit { reason: String },
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
    /// What else the stream has that nobody accounted for.
    pub found: Vec<Stored>,
}

/// Why publishing stopped before the end of a queue.
#[derive(Debug)]
enum Break {
    /// The stream did not end where it was expected to; what the broker said of its end.
    Fence { told: Option<StreamSeq> },
    /// As a batch these are not stored: one by one will show why.
    Batch { events: usize, reason: String },
    /// Whether they are stored is not known; not the fault of any event.
    Outage(Outage),
}

impl Break {
    fn outage(reason: String) -> Self {
        Self::Outage(Outage(reason))
    }
}

impl Report {
    /// Whether every event is in the stream, so that what follows them may follow.
    pub fn is_clean(&self) -> bool {
        self.outcomes.len() == self.asked
            && self.found.is_empty()
            && self.outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Published { .. }))
    }

    /// These have the sequences from this one on.
    fn stored(&mut self, events: Vec<Event>, first_seq: StreamSeq) {
        let numbered = events.into_iter().zip(first_seq.0..);
        self.outcomes.extend(
            numbered.map(|(event, stream_seq)| (event, Outcome::Published { stream_seq: StreamSeq(stream_seq) })),
        );
    }

    /// These were found in the stream: some of them are to be published still.
    fn account_for(&mut self, found: Vec<Stored>, queue: &mut Queue) {
        let events = found.into_iter().filter(|stored| stored.event().is_some());
        let mut found = events.map(|stored| (stored.msg_id, stored.stream_seq)).collect();
        let stored = queue.take_stored(&mut found);
        self.outcomes.extend(stored.into_iter().map(|(event, stream_seq)| (event, Outcome::Published { stream_seq })));
        self.found.extend(found.into_iter().map(|(msg_id, stream_seq)| Stored { msg_id, stream_seq }));
    }

    /// Takes the events out that are above a limit.
    pub fn take_over_limit(&mut self) -> Vec<Over> {
        let is_over = |(_, outcome): &mut (Event, Outcome)| matches!(outcome, Outcome::OverLimit { .. });
        let over = self.outcomes.extract_if(.., is_over);
        over.filter_map(|(event, outcome)| match outcome {
            Outcome::OverLimit { reason } => Some(Over::of(&event, reason)),
            _ => None,
        })
        .collect()
    }
}

/// Publishes to one stream.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    context: jetstream::Context,
    stream: String,
    path: PublishPath,
    timeout: Duration,
    /// What the stream said when it was last checked.
    stream_allows_atomic: Arc<AtomicBool>,
    fence: Arc<Fence>,
    terms: Terms,
    metrics: Metrics,
}

impl Publisher {
    /// Each PubAck is awaited at most `timeout`.
    pub fn new(client: Client, stream: String, path: PublishPath, timeout: Duration, metrics: Metrics) -> Self {
        // Each publish has room for its PubAck at once, also while those of a burst before are not given up yet.
        let context = ContextBuilder::new().timeout(timeout).max_ack_inflight(BURST_MAX * 4).build(client.clone());
        let fence = Arc::new(Fence::default());
        Self {
            client,
            context,
            stream,
            path,
            timeout,
            stream_allows_atomic: Arc::default(),
            fence,
            terms: Terms::default(),
            metrics,
        }
    }

    /// Notes whether the stream takes atomic batches, which a server that can't do them never says.
    pub fn allow_atomic(&self, allowed: bool) {
        self.stream_allows_atomic.store(allowed, Ordering::Relaxed);
    }

    /// Has it note there what the stream takes, each time that it is checked.
    pub fn noting(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// The largest message that broker and stream take, in bytes. The server says its limit at connect only.
    pub fn payload_bytes_max(&self) -> u64 {
        let server = self.client.max_payload() as u64;
        let stream = self.terms.now().and_then(|taken| taken.message_bytes_max);
        stream.map_or(server, |stream| stream.min(server))
    }

    /// Whether there is a connection to the broker.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What to count an event as that was not stored.
    fn outcome(&self, error: &PublishError) -> Publish {
        faults::outcome(error, self.is_connected())
    }

    /// Publishes a batch given in `seq` order. Stops where the tenure ends or the broker is away, and after many refusals in a
    /// row: what is left is for the next claim, as is what waits for an event that was not stored.
    async fn publish_all(&self, events: Vec<Event>, tenure: &Tenure) -> Report {
        let mut report = Report { asked: events.len(), ..Report::default() };
        let mut queue = Queue::new(events);
        let (mut singly, mut fruitless) = (0, 0);
        while queue.len() > 0 && tenure.is_valid() && fruitless < FRUITLESS_MAX {
            let done = report.outcomes.len();
            let end = if singly == 0 && self.goes_atomic(&queue) {
                self.publish_batches(&mut queue, tenure, &mut report).await
            } else {
                self.publish_some(&mut queue, singly, tenure, &mut report).await
            };
            let published = report.outcomes.len() - done;
            singly = singly.saturating_sub(published);
            fruitless = if published > 0 { 0 } else { fruitless + 1 };
            match end {
                Ok(()) => {}
                Err(Break::Batch { events, reason }) => {
                    tracing::info!(events, reason, "atomic batch refused, publishing one by one");
                    self.metrics.batch(Path::AfterRefusal, events);
                    singly = events;
                }
                Err(Break::Fence { told }) => {
                    let (expected, ends_at) = (self.fence.last().0, told.map(|told| told.0));
                    tracing::debug!(expected, told = ends_at, "refused: the stream ends elsewhere");
                    if self.fence.refused(told) {
                        continue;
                    }
                    match self.catch_up().await {
                        Ok(found) => report.account_for(found, &mut queue),
                        Err(outage) => return Report { outage: Some(outage), ..report },
                    }
                }
                Err(Break::Outage(outage)) => return Report { outage: Some(outage), ..report },
            }
        }
        report
    }

    /// Whether a queue is published as batches.
    fn goes_atomic(&self, queue: &Queue) -> bool {
        let allowed = self.path == PublishPath::Auto && self.stream_allows_atomic.load(Ordering::Relaxed);
        allowed && queue.len().min(self.fence.burst()) >= ATOMIC_FROM
    }

    /// Publishes one by one: after a refused batch its events, else all of a queue, unless it is for a while only.
    async fn publish_some(
        &self,
        queue: &mut Queue,
        singly: usize,
        tenure: &Tenure,
        report: &mut Report,
    ) -> Result<(), Break> {
        let is_for_a_while = self.path == PublishPath::Auto && self.fence.burst() < ATOMIC_FROM;
        let count = match singly {
            0 if is_for_a_while => ATOMIC_FROM,
            0 => queue.len(),
            singly => singly,
        };
        if singly == 0 {
            self.metrics.batch(Path::Careful, count.min(queue.len()));
        }
        self.publish_singly(queue, count, tenure, report).await
    }
}
