//! What this service counts. Every label value is present at 0 from the start; ids and addresses are never labels.

use std::time::Duration;

use prometheus::core::Metric;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::notification::EmailState;
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

/// What became of one attempt to send an email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailAttempt {
    /// The transport took it.
    Sent,
    /// The transport answered no; it is tried again.
    Refused,
    /// It is not tried again.
    Dead,
    /// There was no transport to try, or it failed and others must show whose fault it was; no attempt is spent.
    Unreachable,
    /// It was sent and not answered for; it is tried again.
    Unknown,
}

/// The metrics of the inbox and the emails.
#[derive(Clone, Debug)]
pub struct Metrics {
    messages: IntCounterVec,
    answers: IntCounterVec,
    redeliveries: IntCounter,
    process_duration: Histogram,
    event_age: Histogram,
    emails: IntCounterVec,
    /// 1 while the email transport takes emails, as far as they have shown; 0 while the queue waits for it.
    pub email_transport_up: IntGauge,
    queued_emails: IntGaugeVec,
    oldest_email: Gauge,
    emails_sampled_at: Gauge,
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
    /// Registers all of them.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let vec = |name, help, label| register(registry, IntCounterVec::new(Opts::new(name, help), &[label])?);
        let histogram = |name: &str, help: &str| {
            register(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()))?)
        };
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help)?);
        let metrics = Self {
            messages: vec("inbox_messages_total", "Deliveries processed, by outcome.", "outcome")?,
            answers: vec("inbox_answers_total", "Answers given to the broker.", "answer")?,
            redeliveries: register(
                registry,
                IntCounter::new("inbox_redeliveries_total", "Deliveries of a message after its first.")?,
            )?,
            process_duration: histogram(
                "inbox_process_duration_seconds",
                "From a batch in hand to all of it committed, outages included.",
            )?,
            event_age: histogram(
                "inbox_event_age_seconds",
                "From stored in the stream to its effect committed, by the clocks of both machines.",
            )?,
            emails: vec("email_attempts_total", "Attempts to send an email, by outcome.", "outcome")?,
            email_transport_up: gauge(
                "email_transport_up",
                "0 while no email leaves because the email transport is away or refuses us, else 1.",
            )?,
            queued_emails: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "email_queue_emails",
                        "Emails in the database by state: pending ones, 100000 at most, and of the youngest 1000 dead ones those that nobody has decided about.",
                    ),
                    &["state"],
                )?,
            )?,
            oldest_email: register(
                registry,
                Gauge::new(
                    "email_queue_oldest_age_seconds",
                    "Seconds since the oldest pending email was written; 0 if there is none.",
                )?,
            )?,
            emails_sampled_at: register(
                registry,
                Gauge::new(
                    "email_queue_sample_timestamp_seconds",
                    "When the emails in the database were last counted, in seconds since 1970; 0 before the first time.",
                )?,
            )?,
            repairs: vec(
                "inbox_consumer_repairs_total",
                "Times that stream, consumer and database did not fit each other and were repaired, by reason.",
                "reason",
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
                "Events kept until an earlier version of their order comes or the database takes their effect; 10000: that many or more.",
            )?,
            dead: gauge(
                "inbox_dead_messages",
                "Dead messages that nobody has decided about; 10000: that many or more.",
            )?,
            pending: gauge("inbox_pending_messages", "Messages in the stream not delivered yet.")?,
            ack_pending: gauge("inbox_ack_pending_messages", "Messages delivered and not answered yet.")?,
            lag: register(
                registry,
                Gauge::new("inbox_lag_seconds", "Age of the oldest message that is not acknowledged.")?,
            )?,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    fn start_at_zero(&self) {
        for outcome in Outcome::ALL {
            self.messages.with_label_values(&[outcome.label()]).inc_by(0);
        }
        for answer in Answer::ALL {
            self.answers.with_label_values(&[answer.label()]).inc_by(0);
        }
        for repair in Repair::ALL {
            self.repairs.with_label_values(&[repair.label()]).inc_by(0);
        }
        self.email_transport_up.set(1);
        for state in [EmailState::Pending, EmailState::Dead] {
            self.queued_emails.with_label_values(&[state.as_str()]).set(0);
        }
        for attempt in EmailAttempt::ALL {
            self.emails.with_label_values(&[attempt.label()]).inc_by(0);
        }
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

    /// Counts an attempt to send an email.
    pub fn emailed(&self, attempt: EmailAttempt) {
        self.emails.with_label_values(&[attempt.label()]).inc();
    }

    /// A sample of the email queue, taken now.
    pub fn email_queue(&self, pending: i64, oldest_seconds: f64, dead: i64) {
        self.queued_emails.with_label_values(&[EmailState::Pending.as_str()]).set(pending);
        self.queued_emails.with_label_values(&[EmailState::Dead.as_str()]).set(dead);
        self.oldest_email.set(oldest_seconds);
        self.emails_sampled_at.set(chrono::Utc::now().timestamp_micros() as f64 / 1e6);
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

impl EmailAttempt {
    const ALL: [Self; 5] = [Self::Sent, Self::Refused, Self::Dead, Self::Unreachable, Self::Unknown];

    const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Dead => "dead",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}
