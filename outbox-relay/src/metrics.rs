//! The relay's metrics. Labels come from closed sets and are all there at 0 from the start.

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, register_gauge_with_registry as gauge,
    register_histogram_with_registry as histogram, register_int_counter_with_registry as counter,
    register_int_gauge_with_registry as int_gauge,
};
use runtime::{counters, time};

use crate::event::Event;
use crate::limits::{Cause, PutOff};

/// Bounds of the latency buckets, in seconds.
const BUCKETS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];
/// What ends an attempt other than success.
const FAILURES: [&str; 7] = ["broker", "database", "retry", "dead", "forgotten", "subject", "limit"];

/// Bounds of the batch size buckets, in events.
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// How a batch was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// As one atomic batch.
    Atomic,
    /// One by one, by choice.
    Careful,
    /// One by one, after the broker had refused the batch.
    AfterRefusal,
}

impl Path {
    const ALL: [Self; 3] = [Self::Atomic, Self::Careful, Self::AfterRefusal];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Atomic => "atomic",
            Self::Careful => "careful",
            Self::AfterRefusal => "after_refusal",
        }
    }
}

/// What became of an event that was given to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// The stream has it now.
    Stored,
    /// The stream had it.
    Duplicate,
    /// The broker did not take it, alone or in its batch.
    Refused,
    /// The stream ended elsewhere than expected: it is published again at once.
    Fenced,
    /// The broker is connected, and did not answer in time.
    Timeout,
    /// There was no connection to the broker, or it went.
    NoConnection,
}

impl Publish {
    const ALL: [Self; 6] =
        [Self::Stored, Self::Duplicate, Self::Refused, Self::Fenced, Self::Timeout, Self::NoConnection];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Fenced => "fenced",
            Self::Timeout => "timeout",
            Self::NoConnection => "no_connection",
        }
    }
}

/// Handles of the metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    claimed: IntCounter,
    publishes: IntCounterVec,
    pubacks: IntCounterVec,
    batches: IntCounterVec,
    batch_events: Histogram,
    recovered: IntCounter,
    puback_seconds: Histogram,
    event_seconds: Histogram,
    last_published: Gauge,
    far_off: IntCounter,
    failures: IntCounterVec,
    paused: IntGauge,
    lease_held: IntGauge,
    lease_losses: IntCounter,
    stale_settles: IntCounter,
}

const PUBLISHES: &str = "Attempts to publish an event, by outcome. fenced: the broker refused it because the stream ended \
    elsewhere than this relay expected, and it was tried again at once; timeout: no answer in time; no_connection: there was none, \
    or none could be made.";
const BATCHES: &str = "Batches that were published, by path. atomic: as one; careful: event by event; after_refusal: event by \
    event, because the broker refused the batch as one.";

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let by_label = |name, help, label, values: &[&str]| counters::register(registry, name, help, label, values);
        Ok(Self {
            claimed: counter!("relay_claimed_events_total", "Events claimed to be published.", registry)?,
            publishes: by_label("relay_publishes_total", PUBLISHES, "outcome", &Publish::ALL.map(Publish::as_str))?,
            pubacks: by_label(
                "relay_pubacks_total",
                "Acknowledgements of the broker, by whether the stream stored the event now or had it already.",
                "result",
                &[Publish::Stored, Publish::Duplicate].map(Publish::as_str),
            )?,
            batches: by_label("relay_batches_total", BATCHES, "path", &Path::ALL.map(Path::as_str))?,
            batch_events: histogram!("relay_batch_events", "Events in a batch.", BATCH_BUCKETS.to_vec(), registry)?,
            recovered: counter!(
                "relay_recovered_events_total",
                "Events that were in the stream while the outbox did not say so yet, as after a crash between the broker's \
                 acknowledgement and the settle.",
                registry
            )?,
            puback_seconds: histogram!(
                "relay_puback_duration_seconds",
                "Seconds from sending an event, or the end of an atomic batch, to the broker's acknowledgement.",
                BUCKETS.to_vec(),
                registry
            )?,
            event_seconds: histogram!(
                "relay_event_duration_seconds",
                "Seconds from an event's insertion into the outbox until the outbox says that it is published.",
                BUCKETS.to_vec(),
                registry
            )?,
            last_published: gauge!(
                "relay_last_published_timestamp_seconds",
                "Unix time at which this relay last settled a published event; 0 if it has settled none.",
                registry
            )?,
            far_off: counter!(
                "relay_far_off_events_total",
                "Published events whose occurred_at is more than an hour away from their insertion.",
                registry
            )?,
            failures: by_label(
                "relay_failures_total",
                "What kept events from being published. broker, database: outages; the others: events, by what became of them.",
                "class",
                &FAILURES,
            )?,
            paused: int_gauge!(
                "relay_paused",
                "1 while this relay can't work because the broker or the database is away; a relay that stands by needs the \
                 database only.",
                registry
            )?,
            lease_held: int_gauge!("relay_lease_held", "1 while this relay is the active one.", registry)?,
            lease_losses: counter!(
                "relay_lease_losses_total",
                "Times that this relay lost the lease without being asked to stop.",
                registry
            )?,
            stale_settles: counter!(
                "relay_stale_settles_total",
                "Batches that were not settled because another relay had taken over.",
                registry
            )?,
        })
    }

    /// Events were claimed to be published.
    pub fn claimed(&self, events: usize) {
        self.claimed.inc_by(events as u64);
    }

    /// The broker acknowledged events that it stored, as one batch if they are several.
    pub fn stored(&self, duration: Duration, events: u64) {
        self.published(Publish::Stored, events);
        self.puback_seconds.observe(duration.as_secs_f64());
    }

    /// What became of events that were given to the broker.
    pub fn published(&self, outcome: Publish, events: u64) {
        self.publishes.with_label_values(&[outcome.as_str()]).inc_by(events);
        if matches!(outcome, Publish::Stored | Publish::Duplicate) {
            self.pubacks.with_label_values(&[outcome.as_str()]).inc_by(events);
        }
    }

    /// A batch is published.
    pub fn batch(&self, path: Path, events: usize) {
        self.batches.with_label_values(&[path.as_str()]).inc();
        self.batch_events.observe(events as f64);
    }

    /// Events were found in the stream.
    pub fn recovered(&self, events: u64) {
        self.recovered.inc_by(events);
    }

    /// A batch was settled.
    pub fn settled(&self, published: &[Event], retries: usize, dead: usize, forgotten: usize) {
        for event in published {
            self.event_seconds.observe(event.age().as_secs_f64());
        }
        if !published.is_empty() {
            self.last_published.set(time::unix_seconds());
        }
        let mut far_off = published.iter().filter(|event| event.is_far_off).peekable();
        if let Some(event) = far_off.peek() {
            let (event_id, occurred_at) = (event.envelope.event_id, event.envelope.occurred_at);
            tracing::warn!(%event_id, %occurred_at, "occurred_at is far from when the event was inserted: is it in UTC?");
        }
        self.far_off.inc_by(far_off.count() as u64);
        for (class, events) in [("retry", retries), ("dead", dead), ("forgotten", forgotten)] {
            self.failures.with_label_values(&[class]).inc_by(events as u64);
        }
    }

    /// Events wait until the broker takes them.
    pub fn put_off(&self, events: &[PutOff]) {
        let by_subject = events.iter().filter(|event| event.cause == Cause::Subject).count();
        for (class, events) in [("subject", by_subject), ("limit", events.len() - by_subject)] {
            self.failures.with_label_values(&[class]).inc_by(events as u64);
        }
    }

    /// The relay pauses because the broker or the database is away.
    pub fn outage(&self, class: &'static str) {
        self.failures.with_label_values(&[class]).inc();
        self.paused.set(1);
    }

    /// The lease can't be taken or renewed.
    pub fn database_away(&self) {
        self.paused.set(1);
    }

    /// A batch went through, or there is another relay to see to it.
    pub fn outage_ended(&self) {
        self.paused.set(0);
    }

    /// Whether this relay is the active one now.
    pub fn lease_held(&self, is_held: bool) {
        self.lease_held.set(is_held.into());
    }

    /// This relay is no longer the active one, and was not stopped.
    pub fn lease_lost(&self) {
        self.lease_losses.inc();
    }

    /// A batch was not settled because another relay had taken over.
    pub fn stale_settle(&self) {
        self.stale_settles.inc();
    }
}
