//! An event that is about to be appended, and the trace that it belongs to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use schema::aggregate::AggregateId;
use schema::ids::EventId;
use schema::names;

use crate::config::EventBytesMax;
use crate::transaction::TransactionError;

/// Bytes that a message has beside its payload and the row's own headers: the envelope, the dedup id, the protocol.
const ENVELOPE_BYTES_MAX: usize = 1024;

/// An event, not yet in the outbox. Make it once for all attempts of a transaction: its id tells them to be the same.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its identity, for ever.
    pub id: EventId,
    /// What it is about, such as `order`.
    pub aggregate_type: Cow<'static, str>,
    /// Which of them.
    pub aggregate_id: AggregateId,
    /// The version of it that the event makes, from 1 without a gap.
    pub aggregate_version: NonZeroU32,
    /// What happened; also the subject that it is published to.
    pub event_type: Cow<'static, str>,
    /// A JSON object.
    pub payload: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The trace of the request that caused it.
    pub traceparent: Option<TraceParent>,
}

impl NewEvent {
    /// The event as part of a trace.
    #[must_use]
    pub fn traced(self, traceparent: Option<TraceParent>) -> Self {
        Self { traceparent, ..self }
    }

    /// The headers that the event brings along, beside those that the envelope makes of its columns.
    pub(crate) fn headers(&self) -> sqlx::Result<Option<String>> {
        let Some(traceparent) = &self.traceparent else { return Ok(None) };
        let headers = BTreeMap::from([(names::TRACEPARENT_HEADER, traceparent.as_str())]);
        serde_json::to_string(&headers).map(Some).map_err(|error| sqlx::Error::Encode(error.into()))
    }

    /// Refuses what may take more bytes as a message than the broker takes: payload, own headers and envelope.
    pub(crate) fn check_size(&self, limit: EventBytesMax) -> Result<(), TransactionError> {
        let bytes = self.payload.len() + self.headers()?.map_or(0, |headers| headers.len()) + ENVELOPE_BYTES_MAX;
        if bytes > limit.get() { Err(TransactionError::EventTooLarge { bytes, limit }) } else { Ok(()) }
    }
}

/// A well-formed `traceparent` of W3C Trace Context. It ends up in a message header, so nothing else passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// Reads a header's value; `None` if it is malformed, which by the specification means to go on without it.
    pub fn parse(value: &str) -> Option<Self> {
        let fields: Vec<_> = value.split('-').collect();
        let [version, trace_id, parent_id, flags] = fields[..] else { return None };
        let well_formed = is_hex(version, 2)
            && version != "ff"
            && is_hex(trace_id, 32)
            && is_hex(parent_id, 16)
            && is_hex(flags, 2)
            && [trace_id, parent_id].iter().all(|id| id.bytes().any(|byte| byte != b'0'));
        well_formed.then(|| Self(value.to_owned()))
    }

    /// The header's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_fits_into_what_is_set_aside_for_it() {
        let envelope = schema::envelope::Envelope {
            event_id: EventId::generate(),
            source: "/a-shop-with-a-long-name/and-a-service-with-a-longer-one".to_owned(),
            event_type: "customer.address-was-changed-by-support".to_owned(),
            aggregate_type: "customer".to_owned(),
            aggregate_id: "x".repeat(64).parse().unwrap(),
            aggregate_version: NonZeroU32::new(u32::MAX),
            occurred_at: Utc::now(),
        };
        let line = |name: &str, value: &str| name.len() + value.len() + ": \r\n".len();
        let headers: usize = envelope.headers().iter().map(|(name, value)| line(name, value)).sum();
        let dedup_id = line(names::MSG_ID_HEADER, &format!("{}.h{}", envelope.event_id, u32::MAX));
        let batch = line("Nats-Batch-Id", &"x".repeat(64))
            + line("Nats-Batch-Sequence", "1000")
            + line("Nats-Batch-Commit", "1");
        let total = "NATS/1.0\r\n\r\n".len() + headers + dedup_id + batch;
        assert!(total <= ENVELOPE_BYTES_MAX, "{total}");
    }

    #[test]
    fn a_well_formed_traceparent_is_kept() {
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::parse(value).unwrap().as_str(), value);
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        let malformed = [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n",
        ];
        for value in malformed {
            assert_eq!(TraceParent::parse(value), None, "{value:?}");
        }
    }
}
