//! What an inbox counts. Every label value is present at 0 from the start; each series carries the consumer's name, so that a
//! service may have several.

use std::time::Duration;

use prometheus::core::Metric;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use runtime::counters;

use crate::outcome::Outcome;
use crate::repair::Repair;
use crate::store::Receipt;

/// Bounds of the latency buckets, in seconds.
const BUCKETS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How a delivery was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Committed.
    Ack,
    /// Come again.
    Nak,
    /// Never again.
    Term,
}

/// The metrics of an inbox.
#[derive(Clone, Debug)]
pub struct Metrics {
    messages: IntCounterVec,
    answers: IntCounterVec,
    redeliveries: IntCounter,
    process_duration: Histogram,
    event_age: Histogram,
    repairs: IntCounterVec,
    history: IntGauge,
    gone: IntGauge,
    /// Events that are parked.
    pub parked: IntGauge,
    /// Dead messages that nobody has decided about.
    pub dead: IntGauge,
    /// Messages in the stream that the consumer has not delivered.
    pub pending: IntGauge,
    /// Messages delivered and not answered yet.
    pub ack_pending: IntGauge,
    /// Age of the oldest message that is not acknowledged.
    pub lag: Gauge,
}

impl Metrics {
    /// Registers all of them for a consumer.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn register(registry: &Registry, consumer: &str) -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("consumer", consumer);
        let vec = |name, help, label, values: &[&str]| {
            counters::start(registry, IntCounterVec::new(opts(name, help), &[label])?, values)
        };
        let histogram = |name: &str, help: &str| {
            let opts = HistogramOpts::from(opts(name, help)).buckets(BUCKETS.to_vec());
            register(registry, Histogram::with_opts(opts)?)
        };
        let gauge = |name: &str, help: &str| register(registry, IntGauge::with_opts(opts(name, help))?);
        Ok(Self {
            messages: vec(
                "inbox_messages_total",
                "Deliveries processed, by outcome.",
                "outcome",
                &Outcome::ALL.map(Outcome::label),
            )?,
            answers: vec(
                "inbox_answers_total",
                "Answers given to the broker.",
                "answer",
                &Answer::ALL.map(Answer::label),
            )?,
            redeliveries: register(
                registry,
                IntCounter::with_opts(opts("inbox_redeliveries_total", "Deliveries of a message after its first."))?,
            )?,
            process_duration: histogram(
                "inbox_process_duration_seconds",
                "From a batch in hand to all of it committed, outages included.",
            )?,
            event_age: histogram(
                "inbox_event_age_seconds",
                "From stored in the stream to its effect committed, by the clocks of both machines.",
            )?,
            repairs: vec(
                "inbox_consumer_repairs_total",
                "Times that stream, consumer and database did not fit each other and were repaired, by reason.",
                "reason",
                &Repair::ALL.map(Repair::label),
            )?,
            history: gauge(
                "inbox_history_messages",
                "Messages that the consumer will not bring and that are still to be read, as of a few seconds ago.",
            )?,
            gone: gauge(
                "inbox_gone_messages",
                "Messages that the stream dropped before they were read, for all time.",
            )?,
            parked: gauge(
                "inbox_parked_events",
                "Events kept until an earlier version of their aggregate comes or their effect can be written; 10000: that many or more.",
            )?,
            dead: gauge(
                "inbox_dead_messages",
                "Dead messages that nobody has decided about; 10000: that many or more.",
            )?,
            pending: gauge("inbox_pending_messages", "Messages in the stream not delivered yet.")?,
            ack_pending: gauge("inbox_ack_pending_messages", "Messages delivered and not answered yet.")?,
            lag: register(
                registry,
                Gauge::with_opts(opts("inbox_lag_seconds", "Age of the oldest message that is not acknowledged."))?,
            )?,
        })
    }

    /// Counts a message's outcome; `age` is the time since the broker stored it.
    pub fn processed(&self, outcome: Outcome, age: Duration) {
        self.messages.with_label_values(&[outcome.label()]).inc();
        if outcome == Outcome::Applied(Receipt::First) {
            self.event_age.observe(age.as_secs_f64());
        }
    }

    /// Times a batch.
    pub fn batch(&self, duration: Duration) {
        self.process_duration.observe(duration.as_secs_f64());
    }

    /// Counts a delivery that was not the message's first.
    pub fn redelivered(&self) {
        self.redeliveries.inc();
    }

    /// Counts a repair of the consumer.
    pub fn repaired(&self, repair: Repair) {
        self.repairs.with_label_values(&[repair.label()]).inc();
    }

    /// Reports what is still to be read as history, and what is gone.
    pub fn positioned(&self, history: u64, gone: u64) {
        self.history.set(i64::try_from(history).unwrap_or(i64::MAX));
        self.gone.set(i64::try_from(gone).unwrap_or(i64::MAX));
    }

    /// Counts an answer.
    pub fn answered(&self, answer: Answer) {
        self.answers.with_label_values(&[answer.label()]).inc();
    }

    /// Messages with this outcome since the process started.
    pub fn messages(&self, outcome: Outcome) -> u64 {
        self.messages.with_label_values(&[outcome.label()]).get()
    }

    /// Redeliveries since the process started.
    pub fn redeliveries(&self) -> u64 {
        self.redeliveries.get()
    }

    /// How long it took from stored in the stream to its effect committed, for this share of the events, in seconds: by the
    /// buckets' bounds, interpolated. None before the first.
    pub fn event_age(&self, share: f64) -> Option<f64> {
        let histogram = self.event_age.metric();
        let buckets = histogram.get_histogram().get_bucket();
        let wanted = share * self.event_age.get_sample_count() as f64;
        let (mut below, mut from) = (0.0, 0.0);
        for bucket in buckets {
            let (count, to) = (bucket.cumulative_count() as f64, bucket.upper_bound());
            if count > 0.0 && count >= wanted {
                return Some(from + (to - from) * (wanted - below) / (count - below).max(1.0));
            }
            (below, from) = (count, to);
        }
        (self.event_age.get_sample_count() > 0).then_some(from)
    }

    /// Such answers since the process started.
    pub fn answers(&self, answer: Answer) -> u64 {
        self.answers.with_label_values(&[answer.label()]).get()
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

impl Answer {
    const ALL: [Self; 3] = [Self::Ack, Self::Nak, Self::Term];

    const fn label(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Nak => "nak",
            Self::Term => "term",
        }
    }
}
