//! An event that is about to be appended, and the trace that it belongs to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use runtime::mysql::Receipt;
use runtime::telemetry::trace::{KeyValue, SpanKind, Step, TraceParent};
use schema::aggregate::AggregateId;
use schema::envelope::{self, DATASCHEMA};
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
    /// A URI reference to the schema of the payload; becomes `ce-dataschema`.
    pub data_schema: Option<Cow<'static, str>>,
    /// The trace of the request that caused it.
    pub traceparent: Option<TraceParent>,
}

impl NewEvent {
    /// The event as part of a trace: of the span that is open here, or of the client's if nothing is traced.
    #[must_use]
    pub fn traced(self, client: Option<TraceParent>) -> Self {
        Self { traceparent: TraceParent::current().or(client), ..self }
    }
}

/// An event on its way into the table. If spans are exported it is a span: all that becomes of the event later, in whichever
/// program, is below it, for it is what the row's `traceparent` names.
#[derive(Debug)]
pub(crate) struct Append<'a> {
    pub(crate) event: &'a NewEvent,
    step: Option<Step>,
}

impl<'a> Append<'a> {
    pub(crate) fn begin(event: &'a NewEvent) -> Self {
        // What makes a message is its producer, by OpenTelemetry's conventions; who publishes it is a client of the broker.
        let step = Step::begin(SpanKind::Producer, event.traceparent.as_ref(), None, || {
            let attributes = vec![
                KeyValue::new("messaging.system", "nats"),
                KeyValue::new("messaging.operation.type", "create"),
                KeyValue::new("messaging.operation.name", "append"),
                KeyValue::new("messaging.destination.name", event.event_type.to_string()),
                KeyValue::new("messaging.message.id", event.id.to_string()),
            ];
            (format!("append {}", event.event_type), attributes)
        });
        Self { event, step }
    }

    /// The headers that the event brings along, beside those that the envelope makes of its columns.
    pub(crate) fn headers(&self) -> sqlx::Result<Option<String>> {
        let appended = self.step.as_ref().and_then(Step::traceparent);
        let traceparent = appended.as_ref().or(self.event.traceparent.as_ref());
        let traceparent = traceparent.map(|traceparent| (names::TRACEPARENT_HEADER, traceparent.as_str()));
        let data_schema = self.event.data_schema.as_deref().map(|schema| (DATASCHEMA, schema));
        let headers: BTreeMap<_, _> = data_schema.into_iter().chain(traceparent).collect();
        if headers.is_empty() {
            return Ok(None);
        }
        serde_json::to_string(&headers).map(Some).map_err(|error| sqlx::Error::Encode(error.into()))
    }

    /// Refuses what may take more bytes as a message than the broker takes: payload, own headers and envelope.
    pub(crate) fn check_size(&self, limit: EventBytesMax) -> Result<(), TransactionError> {
        let headers = self.headers()?.map_or(0, |headers| headers.len());
        let grown_by = |text: &str| envelope::encode(text).len() - text.len();
        let encoding = grown_by(&self.event.event_type) + grown_by(&self.event.aggregate_type);
        let bytes = self.event.payload.len() + headers + encoding + ENVELOPE_BYTES_MAX;
        if bytes > limit.get() { Err(TransactionError::EventTooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// Ends the span.
    pub(crate) fn end(&self, appended: &Result<Receipt, TransactionError>) {
        match (&self.step, appended) {
            (Some(step), Ok(Receipt::First)) => step.end(KeyValue::new("outbox.receipt", "first")),
            (Some(step), Ok(Receipt::Duplicate)) => step.end(KeyValue::new("outbox.receipt", "duplicate")),
            (Some(step), Err(error)) => step.fail(error.to_string()),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_fits_into_what_is_set_aside_for_it() {
        let envelope = envelope::Envelope {
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
}
