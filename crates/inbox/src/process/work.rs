//! The messages of a batch, each with what can be made of it and what became of it.

use std::sync::OnceLock;

use schema::names;
use uuid::Uuid;

use crate::event::{Content, Work};
use crate::message::Message;
use crate::outcome::Outcome;

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
}

impl<E> Batch<E> {
    /// How many messages have no outcome yet.
    pub fn open(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_open()).count()
    }
}

impl<E> Entry<E> {
    pub(super) fn new(message: Message, content: Content<E>) -> Self {
        Self { message, content, outcome: OnceLock::new() }
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
        self.outcome.get_or_init(|| outcome);
    }

    pub(super) fn span(&self) -> tracing::Span {
        let span = tracing::info_span!(
            "inbox.process",
            stream.sequence = self.message.stream_sequence,
            event.id = tracing::field::Empty,
            event.r#type = tracing::field::Empty,
            aggregate.id = tracing::field::Empty,
            traceparent = self.message.header(names::TRACEPARENT_HEADER),
        );
        if let Some(Work { event, .. }) = self.work() {
            span.record("event.id", tracing::field::display(event.envelope.event_id));
            span.record("event.type", &event.envelope.event_type);
            span.record("aggregate.id", tracing::field::display(event.envelope.aggregate_id));
        }
        span
    }
}
