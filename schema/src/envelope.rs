//! The envelope: CloudEvents 1.0 in binary mode, attributes as NATS headers.
//!
//! Guarantees that what the relay writes, a consumer reads back unchanged. Knows header names and text only, so that
//! it needs no NATS client. `Nats-Msg-Id` is the publisher's, because it changes when an event is healed.

use std::num::NonZeroU32;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::aggregate::AggregateId;
use crate::ids::EventId;

const SPECVERSION: &str = "ce-specversion";
/// The header that names the event.
pub const ID: &str = "ce-id";
const SOURCE: &str = "ce-source";
/// The header that says what happened.
pub const TYPE: &str = "ce-type";
/// The header that names the aggregate.
pub const SUBJECT: &str = "ce-subject";
const TIME: &str = "ce-time";
const DATACONTENTTYPE: &str = "ce-datacontenttype";
/// What the event is about: its type of aggregate.
pub const AGGREGATETYPE: &str = "ce-aggregatetype";
/// The header that says which version of the aggregate the event made.
pub const AGGREGATEVERSION: &str = "ce-aggregateversion";

/// The attributes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// `ce-id`: what consumers deduplicate by.
    pub event_id: EventId,
    /// `ce-source`: who says so; with `ce-id` unique in the world.
    pub source: String,
    /// `ce-type`, for example `order.created`.
    pub event_type: String,
    /// `ce-aggregatetype`, for example `order`.
    pub aggregate_type: String,
    /// `ce-subject`.
    pub aggregate_id: AggregateId,
    /// `ce-aggregateversion`: consecutive from 1 within the aggregate; none if the writer keeps none.
    pub aggregate_version: Option<NonZeroU32>,
    /// `ce-time`, to the microsecond.
    pub occurred_at: DateTime<Utc>,
}

/// Why headers are no envelope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A required header is absent.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header's text has not the form that its attribute needs.
    #[error("header {name} has the malformed value {value:?}")]
    Malformed {
        /// The header.
        name: &'static str,
        /// Its text.
        value: String,
    },
}

impl Envelope {
    /// The headers of the message, in a fixed order.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (SPECVERSION, "1.0".to_owned()),
            (ID, self.event_id.to_string()),
            (SOURCE, self.source.clone()),
            (TYPE, self.event_type.clone()),
            (SUBJECT, self.aggregate_id.to_string()),
            (TIME, self.occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            (DATACONTENTTYPE, "application/json".to_owned()),
            (AGGREGATETYPE, self.aggregate_type.clone()),
        ];
        if let Some(version) = self.aggregate_version {
            headers.push((AGGREGATEVERSION, version.to_string()));
        }
        headers
    }

    /// Reads the envelope back; `header` finds a header by its exact name.
    ///
    /// # Errors
    /// The first header that is missing or malformed.
    pub fn from_headers<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, EnvelopeError> {
        let required = |name| header(name).ok_or(EnvelopeError::Missing(name));
        fn parse<T: std::str::FromStr>(name: &'static str, value: &str) -> Result<T, EnvelopeError> {
            let malformed = |_| EnvelopeError::Malformed { name, value: value.to_owned() };
            value.parse().map_err(malformed)
        }

        let specversion = required(SPECVERSION)?;
        if specversion != "1.0" {
            return Err(EnvelopeError::Malformed { name: SPECVERSION, value: specversion.to_owned() });
        }
        Ok(Self {
            event_id: parse(ID, required(ID)?)?,
            source: required(SOURCE)?.to_owned(),
            event_type: required(TYPE)?.to_owned(),
            aggregate_type: required(AGGREGATETYPE)?.to_owned(),
            aggregate_id: parse(SUBJECT, required(SUBJECT)?)?,
            aggregate_version: header(AGGREGATEVERSION).map(|version| parse(AGGREGATEVERSION, version)).transpose()?,
            occurred_at: parse(TIME, required(TIME)?)?,
        })
    }
}

/// Whether an outbox row's own `headers` may set this header: the envelope and the NATS protocol keep theirs.
pub fn is_reserved_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("ce-") || name.starts_with("nats-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            event_id: EventId::generate(),
            source: "/web-store/orders".to_owned(),
            event_type: "order.created".to_owned(),
            aggregate_type: "order".to_owned(),
            aggregate_id: "4711".parse().unwrap(),
            aggregate_version: NonZeroU32::new(1),
            occurred_at: "2026-11-22T11:30:00.123456Z".parse().unwrap(),
        }
    }

    fn read_without(envelope: &Envelope, absent: &str) -> Result<Envelope, EnvelopeError> {
        let headers = envelope.headers();
        Envelope::from_headers(|name| {
            let found = headers.iter().find(|(known, _)| *known == name && name != absent);
            found.map(|(_, value)| value.as_str())
        })
    }

    #[test]
    fn a_consumer_reads_back_what_the_relay_wrote() {
        let written = envelope();
        assert_eq!(read_without(&written, ""), Ok(written));
    }

    #[test]
    fn an_event_without_a_version_stays_without() {
        let written = Envelope { aggregate_version: None, ..envelope() };
        assert_eq!(read_without(&written, ""), Ok(written));
    }

    #[test]
    fn every_header_but_version_and_content_type_is_required() {
        let written = envelope();
        for (name, _) in written.headers() {
            let optional = [AGGREGATEVERSION, DATACONTENTTYPE].contains(&name);
            assert_eq!(read_without(&written, name).is_ok(), optional, "{name}");
        }
    }
}
