//! Each attempt to publish an event as a span of the event's own trace, below the one that appended it.
//!
//! By OpenTelemetry's conventions who made the message is its producer: the message carries what the row says, each time that it
//! is published, so a replay makes the same bytes. The relay is a client of the broker that hands it over, and its span is none
//! that others build on. Events of a batch were made in traces of their own, so each has a span of its own.

use std::collections::HashMap;

use runtime::telemetry::trace::{self, KeyValue, SpanKind, Step};
use schema::sequence::Seq;

use super::{Outcome, Publisher, Report};
use crate::event::Event;
use crate::lease::Tenure;

impl Publisher {
    /// Publishes a batch given in `seq` order, as far as it can; each attempt is told.
    pub async fn publish(&self, events: Vec<Event>, tenure: &Tenure) -> Report {
        let attempts = Attempts::begin(&events, &self.stream);
        let report = self.publish_all(events, tenure).await;
        attempts.end(&report);
        report
    }
}

/// The attempts of a batch, by the numbers of their events; none if nothing is traced.
#[derive(Debug)]
struct Attempts(HashMap<Seq, Step>);

impl Attempts {
    fn begin(events: &[Event], stream: &str) -> Self {
        if !trace::is_on() {
            return Self(HashMap::new());
        }
        Self(events.iter().filter_map(|event| Some((event.seq, step(event, stream)?))).collect())
    }

    /// Ends each with what became of its event, also in the log.
    fn end(mut self, report: &Report) {
        for (event, outcome) in &report.outcomes {
            let traceparent = event.traceparent();
            let trace_id = traceparent.as_ref().map(trace::TraceParent::trace_id);
            tracing::debug!(trace_id, event.id = %event.envelope.event_id, ?outcome, "published");
            let Some(step) = self.0.remove(&event.seq) else { continue };
            match outcome {
                Outcome::Published { stream_seq } => {
                    step.end(KeyValue::new("nats.stream.sequence", stream_seq.as_i64()));
                }
                Outcome::Forgotten => step.fail("the broker knows the message's id and has not the message".to_owned()),
                Outcome::Failed { reason } | Outcome::Refused { reason } | Outcome::OverLimit { reason } => {
                    step.fail(reason.clone());
                }
            }
        }
        let reason = report.outage.as_ref().map_or("waits for an earlier event".to_owned(), ToString::to_string);
        self.0.into_values().for_each(|step| step.fail(reason.clone()));
    }
}

fn step(event: &Event, stream: &str) -> Option<Step> {
    Step::begin(SpanKind::Client, event.traceparent().as_ref(), None, || {
        let attributes = vec![
            KeyValue::new("messaging.system", "nats"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.operation.name", "publish"),
            KeyValue::new("messaging.destination.name", event.subject.clone()),
            KeyValue::new("messaging.message.id", event.envelope.event_id.to_string()),
            KeyValue::new("nats.message.id", event.msg_id()),
            KeyValue::new("nats.stream.name", stream.to_owned()),
            KeyValue::new("outbox.attempts", i64::from(event.attempts)),
        ];
        (format!("publish {}", event.subject), attributes)
    })
}
