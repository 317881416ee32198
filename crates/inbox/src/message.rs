//! A message as it came from the stream, without the client that brought it.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use runtime::telemetry::trace::TraceParent;
use schema::ids::EventId;
use schema::{envelope, names};
use serde::Serialize;
use utoipa::ToSchema;

/// One delivery of a message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The subject it was published to.
    pub subject: String,
    /// Its headers; a name may occur more than once.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub payload: Bytes,
    /// Its place in the stream.
    pub stream_sequence: u64,
    /// When the broker stored it.
    pub stored_at: DateTime<Utc>,
    /// How often it was delivered, this time included: above 1, it is a redelivery.
    pub deliveries: u32,
}

/// What a message says that it is, as its headers have it: nobody has checked it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Claimed {
    /// `ce-id`
    pub event_id: Option<String>,
    /// `ce-type`
    pub event_type: Option<String>,
    /// `ce-subject`
    pub aggregate_id: Option<String>,
    /// `ce-aggregateversion`
    pub version: Option<String>,
}

impl Claimed {
    /// What these headers say.
    pub fn by(headers: &[(String, String)]) -> Self {
        let claim =
            |name| header(headers, name).map(|value| envelope::decode(value).unwrap_or(value.into()).into_owned());
        Self {
            event_id: claim(envelope::ID),
            event_type: claim(envelope::TYPE),
            aggregate_id: claim(envelope::SUBJECT),
            version: claim(envelope::AGGREGATEVERSION),
        }
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

impl Message {
    /// A header's first value, by its exact name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// An attribute's value: its header decoded, if that can be.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        self.header(name).and_then(envelope::decode)
    }

    /// The trace that it was made in.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.header(names::TRACEPARENT_HEADER).and_then(TraceParent::parse)
    }

    /// What the writer called it, at most 255 characters: its event id, or else the id by which the broker deduplicates.
    pub fn identity(&self) -> String {
        let id = self.attribute(envelope::ID).or_else(|| self.header(names::MSG_ID_HEADER).map(Cow::from));
        id.unwrap_or_default().chars().take(255).collect()
    }

    /// Its event's id, if it has one.
    pub fn event_id(&self) -> Option<EventId> {
        self.attribute(envelope::ID)?.parse().ok()
    }

    /// Bytes of its body and headers.
    pub fn bytes(&self) -> usize {
        self.payload.len() + self.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>()
    }
}
