//! The careful path: single publishes, aggregates side by side, the events of each one after the other.
//!
//! Guarantees that at most one event of an aggregate is in flight and that the first one that is not acknowledged ends
//! its aggregate's turn. The crash window between PubAck and settle is covered by what [`super::stored`] finds, by the
//! dedup window and by the test `a_crash_after_puback_stores_no_second_message`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_nats::jetstream::message::PublishMessage;
use futures::{StreamExt, stream};

use super::faults::{Fault, classify};
use super::{Outage, Outcome, Publisher, Report, message};
use crate::event::{Aggregate, Event};
use crate::lease::Tenure;

/// Aggregates that are published at the same time; each has one event in flight.
pub const IN_FLIGHT_MAX: usize = 512;

/// What ends the whole batch.
#[derive(Debug, Default)]
struct Stop {
    is_set: AtomicBool,
    outage: Mutex<Option<Outage>>,
}

impl Publisher {
    /// Publishes events one by one and adds what became of them to the report.
    pub(super) async fn publish_one_by_one(&self, events: Vec<Event>, tenure: &Tenure, report: &mut Report) {
        let stop = Stop::default();
        let outcomes = stream::iter(by_aggregate(events))
            .map(|siblings| self.publish_siblings(siblings, tenure, &stop))
            .buffer_unordered(IN_FLIGHT_MAX)
            .concat()
            .await;
        report.outcomes.extend(outcomes);
        report.outage = stop.outage.into_inner().expect("no holder of this lock panics");
    }

    async fn publish_siblings(&self, siblings: Vec<Event>, tenure: &Tenure, stop: &Stop) -> Vec<(Event, Outcome)> {
        let mut outcomes = Vec::with_capacity(siblings.len());
        for event in siblings {
            if stop.is_set.load(Ordering::Relaxed) || !tenure.is_valid() {
                break;
            }
            match self.publish_one(&event).await {
                Ok(outcome) => {
                    let goes_on = matches!(outcome, Outcome::Published { .. });
                    outcomes.push((event, outcome));
                    if !goes_on {
                        break;
                    }
                }
                Err(outage) => {
                    stop.is_set.store(true, Ordering::Relaxed);
                    stop.outage.lock().expect("no holder of this lock panics").get_or_insert(outage);
                    break;
                }
            }
        }
        outcomes
    }

    async fn publish_one(&self, event: &Event) -> Result<Outcome, Outage> {
        let started = Instant::now();
        let headers = message::headers(event, &self.stream);
        let message = PublishMessage::build().payload(event.payload.clone()).headers(headers);
        let answer = match self.context.send_publish(event.subject.clone(), message).await {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(ack) => {
                self.metrics.puback(started.elapsed(), ack.duplicate);
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

/// Groups a batch by aggregate, keeping the order within each and the aggregates in the order of their first event.
fn by_aggregate(events: Vec<Event>) -> Vec<Vec<Event>> {
    let mut places: HashMap<Aggregate, usize> = HashMap::new();
    let mut groups: Vec<Vec<Event>> = Vec::new();
    for event in events {
        let place = *places.entry(event.aggregate()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(event),
            None => groups.push(vec![event]),
        }
    }
    groups
}
