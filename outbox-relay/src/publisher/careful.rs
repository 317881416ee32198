//! The careful path: single publishes, aggregates side by side, the events of each one after the other.
//!
//! Guarantees that at most one event of an aggregate is in flight and that the first one that is not acknowledged ends
//! its aggregate's turn. The crash window between PubAck and settle is covered by what [`super::stored`] finds, by the
//! dedup window and by the test `a_crash_after_puback_stores_no_second_message`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::faults::{Fault, classify};
use super::{Outage, Outcome, Publisher, Report, message};
use crate::event::{Aggregate, Event};
use crate::lease::Tenure;

/// Aggregates that are published at the same time; each has one event in flight.
pub const IN_FLIGHT_MAX: usize = 512;

/// Aggregates with none in flight: the events that are left of each, by the `seq` of the first.
type Ready = BTreeMap<u64, VecDeque<Event>>;

impl Publisher {
    /// Publishes events one by one and adds what became of them to the report. They are sent in the order of `seq` as far
    /// as their aggregates allow: where `seq` and the sequence in the stream go up together, a settle is cheaper.
    pub(super) async fn publish_one_by_one(&self, events: Vec<Event>, tenure: &Tenure, report: &mut Report) {
        let mut ready = by_aggregate(events);
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < IN_FLIGHT_MAX && report.outage.is_none() && tenure.is_valid() {
                let Some((_, mut siblings)) = ready.pop_first() else { break };
                let Some(event) = siblings.pop_front() else { continue };
                let sent_at = Instant::now();
                let sent = self.send(&event).await;
                in_flight.push(async move { (self.outcome(&event, sent, sent_at).await, event, siblings) });
            }
            let Some((outcome, event, siblings)) = in_flight.next().await else { return };
            match outcome {
                Ok(outcome) => {
                    if let (Outcome::Published { .. }, Some(next)) = (&outcome, siblings.front()) {
                        ready.insert(next.seq, siblings);
                    }
                    report.outcomes.push((event, outcome));
                }
                Err(outage) => {
                    report.outage.get_or_insert(outage);
                }
            }
        }
    }

    async fn send(&self, event: &Event) -> Result<PublishAckFuture, PublishError> {
        let headers = message::headers(event, &self.stream);
        let message = PublishMessage::build().payload(event.payload.clone()).headers(headers);
        self.context.send_publish(event.subject.clone(), message).await
    }

    async fn outcome(
        &self,
        event: &Event,
        sent: Result<PublishAckFuture, PublishError>,
        sent_at: Instant,
    ) -> Result<Outcome, Outage> {
        let answer = match sent {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(ack) => {
                self.metrics.puback(sent_at.elapsed(), ack.duplicate);
                if ack.duplicate && !self.holds(ack.sequence, event).await? {
                    return Ok(Outcome::Forgotten);
                }
                Ok(Outcome::Published { stream_seq: ack.sequence })
            }
            Err(error) => match classify(&error) {
                Fault::Broker(reason) => Err(Outage(reason)),
                Fault::Event(reason) => Ok(Outcome::Refused { reason }),
                Fault::Passing(reason) | Fault::Batch(reason) => Ok(Outcome::Failed { reason }),
            },
        }
    }
}

/// Groups a batch in the order of `seq` by aggregate, keeping the order within each.
fn by_aggregate(events: Vec<Event>) -> Ready {
    let mut firsts: HashMap<Aggregate, u64> = HashMap::new();
    let mut ready = Ready::new();
    for event in events {
        let first = *firsts.entry(event.aggregate()).or_insert(event.seq);
        ready.entry(first).or_insert_with(|| VecDeque::with_capacity(1)).push_back(event);
    }
    ready
}
