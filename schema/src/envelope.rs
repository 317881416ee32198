//! The envelope: CloudEvents 1.0 in binary mode, attributes as NATS headers.
//!
//! Guarantees that what the relay writes, a consumer reads back unchanged: values are percent-encoded as the binding asks, so
//! that no text is cut, trimmed or unreadable on its way. Knows header names and text only, so that it needs no NATS
//! client. `Nats-Msg-Id` is the publisher's, because it changes when an event is healed.

use std::borrow::Cow;
use std::num::NonZeroU32;

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

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

/// Names the schema of the body: a URI reference. The writer's own, in the row's `headers`, for the relay knows no payloads.
pub const DATASCHEMA: &str = "ce-dataschema";

/// What a value is not to have as it is: everything outside of U+0021 to U+007E, the double quote, and the percent sign.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

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
    /// The headers of the message, encoded, in a fixed order.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (SPECVERSION, "1.0".to_owned()),
            (ID, self.event_id.to_string()),
            (SOURCE, encode(&self.source).into_owned()),
            (TYPE, encode(&self.event_type).into_owned()),
            (SUBJECT, encode(self.aggregate_id.as_str()).into_owned()),
            (TIME, self.occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            (DATACONTENTTYPE, "application/json".to_owned()),
            (AGGREGATETYPE, encode(&self.aggregate_type).into_owned()),
        ];
        if let Some(version) = self.aggregate_version {
            headers.push((AGGREGATEVERSION, version.to_string()));
        }
        headers
    }

    /// Reads the envelope back; `header` finds a header, as it is encoded, by its exact name.
    ///
    /// # Errors
    /// The first header that is missing or malformed.
    pub fn from_headers<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, EnvelopeError> {
        let optional = |name| header(name).map(|value| decode(value).ok_or_else(|| malformed(name, value))).transpose();
        let required = |name| optional(name)?.ok_or(EnvelopeError::Missing(name));
        fn malformed(name: &'static str, value: &str) -> EnvelopeError {
            EnvelopeError::Malformed { name, value: value.to_owned() }
        }
        fn parse<T: std::str::FromStr>(name: &'static str, value: &str) -> Result<T, EnvelopeError> {
            value.parse().map_err(|_| malformed(name, value))
        }

        let specversion = required(SPECVERSION)?;
        if specversion != "1.0" {
            return Err(malformed(SPECVERSION, &specversion));
        }
        Ok(Self {
            event_id: parse(ID, &required(ID)?)?,
            source: required(SOURCE)?.into_owned(),
            event_type: required(TYPE)?.into_owned(),
            aggregate_type: required(AGGREGATETYPE)?.into_owned(),
            aggregate_id: parse(SUBJECT, &required(SUBJECT)?)?,
            aggregate_version: optional(AGGREGATEVERSION)?
                .map(|version| parse(AGGREGATEVERSION, &version))
                .transpose()?,
            occurred_at: parse(TIME, &required(TIME)?)?,
        })
    }
}

/// An attribute's value as its header has it.
pub fn encode(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, ENCODED).into()
}

/// An attribute's value as its header means it; none if that is no UTF-8. A percent sign without two digits is itself.
pub fn decode(header: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(header).decode_utf8().ok()
}

/// Whether an outbox row's own `headers` may not set this header: the envelope and the NATS protocol keep theirs.
pub fn is_reserved_header(name: &str) -> bool {
    if name == DATASCHEMA {
        return false;
    }
    let name = name.to_ascii_lowercase();
    name.starts_with("ce-") || name.starts_with("nats-")
}

/// A header of an outbox row's own, as the message has it: an attribute is encoded, what is no attribute stays as it is.
pub fn own_header<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if name == DATASCHEMA { encode(value) } else { value.into() }
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
    fn what_no_header_may_have_is_percent_encoded_and_read_back() {
        let written = Envelope {
            source: "/web store".to_owned(),
            event_type: "order.50%\"off\"".to_owned(),
            aggregate_type: "Stra\u{df}e \u{20ac}\u{1f375}\u{7f}\r\n".to_owned(),
            aggregate_id: "50%".parse().unwrap(),
            ..envelope()
        };
        let headers = written.headers();
        let header = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(header(SOURCE), Some("/web%20store"));
        assert_eq!(header(TYPE), Some("order.50%25%22off%22"));
        assert_eq!(header(AGGREGATETYPE), Some("Stra%C3%9Fe%20%E2%82%AC%F0%9F%8D%B5%7F%0D%0A"));
        assert_eq!(header(SUBJECT), Some("50%25"));
        assert_eq!(read_without(&written, ""), Ok(written));
    }

    #[test]
    fn a_header_is_decoded_once_whatever_of_it_another_program_encoded() {
        for (header, value) in
            [("%6frder", "order"), ("100%", "100%"), ("%zz", "%zz"), ("%2525", "%25"), ("a b", "a b")]
        {
            assert_eq!(decode(header).as_deref(), Some(value));
        }
        assert_eq!(decode("%ff"), None, "it is no UTF-8");
        let headers = envelope().headers();
        let broken = Envelope::from_headers(|name| {
            let found = headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
            if name == TYPE { Some("%ff") } else { found }
        });
        assert_eq!(broken, Err(EnvelopeError::Malformed { name: TYPE, value: "%ff".to_owned() }));
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
