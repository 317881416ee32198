//! The messages of a batch, each with what can be made of it and what became of it.

use std::sync::OnceLock;

use schema::ids::EventId;
use schema::names;
use uuid::Uuid;

use crate::event::{Content, Event, Undecodable};
use crate::message::Message;
use crate::notification::{NewNotification, Unnotifiable};
use crate::outcome::Outcome;
use crate::store::Receipt;

/// Messages that were read together, in stream order.
#[derive(Debug)]
pub struct Batch {
    /// The reading of the stream that they belong to.
    pub reading: Uuid,
    /// The messages.
    pub entries: Vec<Entry>,
}

/// A message of a batch.
#[derive(Debug)]
pub struct Entry {
    /// As it came.
    pub message: Message,
    /// What can be made of it, or the reason why nothing can.
    pub(super) work: Result<Work, String>,
    outcome: OnceLock<Outcome>,
}

/// An event that can be processed, with its effect: none if it is a tombstone.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) event: Event,
    pub(super) notification: Option<NewNotification>,
}

impl Batch {
    /// None of the messages has an outcome yet.
    pub fn new(reading: Uuid, messages: impl IntoIterator<Item = Message>) -> Self {
        Self { reading, entries: messages.into_iter().map(Entry::new).collect() }
    }

    /// How many messages have no outcome yet.
    pub fn open(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_open()).count()
    }
}

impl Entry {
    fn new(message: Message) -> Self {
        let work = Work::of(&message);
        Self { message, work, outcome: OnceLock::new() }
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
        if let Ok(Work { event, .. }) = &self.work {
            span.record("event.id", tracing::field::display(event.envelope.event_id));
            span.record("event.type", &event.envelope.event_type);
            span.record("aggregate.id", tracing::field::display(event.envelope.aggregate_id));
        }
        span
    }
}

impl Work {
    /// The reason, if nothing can be made of the message.
    pub(super) fn of(message: &Message) -> Result<Self, String> {
        let event = Event::decode(message).map_err(|error: Undecodable| error.reason())?;
        let notification = match &event.content {
            Content::Tombstone => None,
            Content::Order(order_event) => {
                let notification = NewNotification::of(event.envelope.event_id, order_event);
                Some(notification.map_err(|error: Unnotifiable| error.to_string())?)
            }
        };
        Ok(Self { event, notification })
    }

    pub(super) fn event_id(&self) -> EventId {
        self.event.envelope.event_id
    }

    /// What it is when it has had its effect.
    pub(super) fn applied(&self) -> Outcome {
        match self.event.content {
            Content::Order(_) => Outcome::Applied(Receipt::First),
            Content::Tombstone => Outcome::Tombstone,
        }
    }
}
