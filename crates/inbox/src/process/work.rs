//! The messages of a batch, each with what can be made of it and what became of it.

use std::sync::OnceLock;

use runtime::telemetry::trace::{self, KeyValue, SpanKind, Step};
use uuid::Uuid;

use crate::event::{Content, Work};
use crate::message::{Claimed, Message};
use crate::outcome::Outcome;
use crate::source::Source;

/// Messages that were read together, in stream order.
#[derive(Debug)]
pub struct Batch<E> {
    /// The reading of the stream that they belong to.
    pub reading: Uuid,
    /// The messages.
    pub entries: Vec<Entry<E>>,
}

/// A message of a batch.
#[derive(Debug)]
pub struct Entry<E> {
    /// As it came.
    pub message: Message,
    /// What it holds.
    pub(super) content: Content<E>,
    outcome: OnceLock<Outcome>,
    step: Option<Step>,
}

impl<E> Batch<E> {
    /// How many messages have no outcome yet.
    pub fn open(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_open()).count()
    }
}

impl<E> Entry<E> {
    pub(super) fn new(message: Message, content: Content<E>) -> Self {
        Self { message, content, outcome: OnceLock::new(), step: None }
    }

    /// As a span of the message's own trace, which ends with its outcome. What a batch does, it does for many traces.
    pub(super) fn traced(self, step: Option<Step>) -> Self {
        Self { step, ..self }
    }

    /// Its event, if it is one that can be processed.
    pub(super) fn work(&self) -> Option<&Work<E>> {
        match &self.content {
            Content::Event(work) => Some(work),
            Content::Foreign | Content::Dead(_) => None,
        }
    }

    /// What became of it; none until that is committed.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.get().copied()
    }

    /// Whether it has no outcome yet.
    pub fn is_open(&self) -> bool {
        self.outcome.get().is_none()
    }

    /// After the commit. The first outcome stays.
    pub(super) fn settle(&self, outcome: Outcome) {
        let outcome = self.outcome.get_or_init(|| outcome).label();
        if let Some(step) = &self.step {
            step.end(KeyValue::new("inbox.outcome", outcome));
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (traceparent, deliveries) = (self.message.traceparent(), self.message.deliveries);
            let trace_id = traceparent.as_ref().map(|parent| parent.trace_id());
            tracing::debug!(trace_id, event.id = self.message.identity(), outcome, deliveries, "processed");
        }
    }

    pub(super) fn span(&self) -> tracing::Span {
        let span = tracing::info_span!(
            "inbox.process",
            stream.sequence = self.message.stream_sequence,
            event.id = tracing::field::Empty,
            event.r#type = tracing::field::Empty,
            aggregate.id = tracing::field::Empty,
            trace_id = self.message.traceparent().as_ref().map(|parent| parent.trace_id()),
        );
        let Claimed { event_id, event_type, aggregate_id, .. } = Claimed::by(&self.message.headers);
        span.record("event.id", event_id);
        span.record("event.type", event_type);
        span.record("aggregate.id", aggregate_id);
        span
    }
}

/// The processing of a message, from now on.
pub(super) fn step(message: &Message, source: &Source) -> Option<Step> {
    Step::begin(SpanKind::Consumer, trace::is_on().then(|| message.traceparent()).flatten().as_ref(), None, || {
        let attributes = vec![
            KeyValue::new("messaging.system", "nats"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.destination.name", message.subject.clone()),
            KeyValue::new("messaging.consumer.group.name", source.consumer.clone()),
            KeyValue::new("messaging.message.id", message.identity()),
            KeyValue::new("nats.stream.name", source.stream.clone()),
            KeyValue::new("nats.stream.sequence", i64::try_from(message.stream_sequence).unwrap_or(i64::MAX)),
            KeyValue::new("nats.consumer.deliveries", i64::from(message.deliveries)),
        ];
        (format!("process {}", message.subject), attributes)
    })
}
