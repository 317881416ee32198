//! The relay's metrics. Labels come from closed sets and are all there at 0 from the start.

use std::time::Duration;

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::event::Event;
use crate::limits::{Cause, PutOff};
use crate::store::outbox_count::{State, StateCount};

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

/// Handles of the metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    claimed: IntCounter,
    pubacks: IntCounterVec,
    batches: IntCounterVec,
    batch_events: Histogram,
    recovered: IntCounter,
    puback_seconds: Histogram,
    event_seconds: Histogram,
    far_off: IntCounter,
    waiting: IntGauge,
    failures: IntCounterVec,
    paused: IntGauge,
    lease_held: IntGauge,
    lease_losses: IntCounter,
    stale_settles: IntCounter,
    backlog: IntGaugeVec,
    oldest: GaugeVec,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            claimed: IntCounter::new("relay_claimed_events_total", "Events claimed to be published.")?,
            pubacks: IntCounterVec::new(
                Opts::new("relay_pubacks_total", "PubAcks by whether the stream stored the event or had it already."),
                &["result"],
            )?,
            batches: IntCounterVec::new(
                Opts::new("relay_batches_total", "Batches that were published, by the path that they took."),
                &["path"],
            )?,
            batch_events: Histogram::with_opts(
                HistogramOpts::new("relay_batch_events", "Events in a batch.").buckets(BATCH_BUCKETS.to_vec()),
            )?,
            recovered: IntCounter::new(
                "relay_recovered_events_total",
                "Events that were found in the stream though nobody had settled them.",
            )?,
            puback_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "relay_puback_duration_seconds",
                    "From publish to PubAck, of an event or of an atomic batch.",
                )
                .buckets(BUCKETS.to_vec()),
            )?,
            event_seconds: Histogram::with_opts(
                HistogramOpts::new("relay_event_duration_seconds", "From the event's insertion to its settle.")
                    .buckets(BUCKETS.to_vec()),
            )?,
            far_off: IntCounter::new(
                "relay_far_off_events_total",
                "Published events whose occurred_at is more than an hour away from their insertion.",
            )?,
            waiting: IntGauge::new(
                "outbox_waiting_events",
                "Events that wait for their next attempt or for a limit, 100000 at most; sampled by the active relay, else 0.",
            )?,
            failures: IntCounterVec::new(
                Opts::new("relay_failures_total", "Reasons that kept events from being published, by class."),
                &["class"],
            )?,
            paused: IntGauge::new(
                "relay_paused",
                "1 while the broker or the database is away; of a relay that stands by, the database.",
            )?,
            lease_held: IntGauge::new("relay_lease_held", "1 while this relay is the active one.")?,
            lease_losses: IntCounter::new("relay_lease_losses_total", "Tenures that ended without a stop.")?,
            stale_settles: IntCounter::new(
                "relay_stale_settles_total",
                "Batches that were not settled because another relay had taken over.",
            )?,
            backlog: IntGaugeVec::new(
                Opts::new("outbox_events", "Events in the outbox by state; sampled by the active relay, else 0."),
                &["state"],
            )?,
            oldest: GaugeVec::new(
                Opts::new(
                    "outbox_oldest_age_seconds",
                    "Seconds since the oldest event of a state was inserted, pending ones that wait for their next attempt left out; 0 if there is none.",
                ),
                &["state"],
            )?,
        };
        metrics.start_at_zero();
        metrics.collectors().into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }

    fn start_at_zero(&self) {
        for result in ["stored", "duplicate"] {
            self.pubacks.with_label_values(&[result]);
        }
        for path in Path::ALL {
            self.batches.with_label_values(&[path.as_str()]);
        }
        for class in FAILURES {
            self.failures.with_label_values(&[class]);
        }
        for state in State::ALL {
            self.backlog.with_label_values(&[state.as_str()]);
            self.oldest.with_label_values(&[state.as_str()]);
        }
    }

    fn collectors(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        vec![
            Box::new(self.claimed.clone()),
            Box::new(self.pubacks.clone()),
            Box::new(self.batches.clone()),
            Box::new(self.batch_events.clone()),
            Box::new(self.recovered.clone()),
            Box::new(self.puback_seconds.clone()),
            Box::new(self.event_seconds.clone()),
            Box::new(self.far_off.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.failures.clone()),
            Box::new(self.paused.clone()),
            Box::new(self.lease_held.clone()),
            Box::new(self.lease_losses.clone()),
            Box::new(self.stale_settles.clone()),
            Box::new(self.backlog.clone()),
            Box::new(self.oldest.clone()),
        ]
    }

    /// Events were claimed to be published.
    pub fn claimed(&self, events: usize) {
        self.claimed.inc_by(events as u64);
    }

    /// The broker acknowledged an event that it stored.
    pub fn puback(&self, duration: Duration) {
        self.pubacks.with_label_values(&["stored"]).inc();
        self.puback_seconds.observe(duration.as_secs_f64());
    }

    /// The broker acknowledged an event that it had already.
    pub fn duplicate(&self) {
        self.pubacks.with_label_values(&["duplicate"]).inc();
    }

    /// The broker acknowledged a batch at once.
    pub fn batch_puback(&self, duration: Duration, events: u64) {
        self.pubacks.with_label_values(&["stored"]).inc_by(events);
        self.puback_seconds.observe(duration.as_secs_f64());
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

    /// A sample of the events that wait.
    pub fn sample_waiting(&self, events: i64) {
        self.waiting.set(events);
    }

    /// A sample of the table.
    pub fn sample(&self, state: State, count: &StateCount) {
        self.backlog.with_label_values(&[state.as_str()]).set(count.events);
        self.oldest.with_label_values(&[state.as_str()]).set(count.oldest_seconds.unwrap_or(0.0));
    }
}
