//! The fast path: a claimed batch as one JetStream atomic batch (ADR-50).
//!
//! Three headers a message and one PubAck for all; the sequences are contiguous and end with the PubAck's. All or
//! nothing, so order holds under any failure: a batch that lost a message on the way is refused at its commit, one that
//! never commits is forgotten by the broker after ten seconds. One duplicate id refuses the whole batch, which is the
//! aftermath of a crash between PubAck and settle. A server that does not know the headers stores the messages one by
//! one and says no batch in its PubAck: that counts as a refusal, and the ids tell what is there already.

use std::time::Instant;

use async_nats::client;
use async_nats::header::{HeaderMap, HeaderName};
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use runtime::telemetry::chain;
use uuid::Uuid;

use super::faults::{Fault, classify};
use super::{Outage, Publisher, message};
use crate::event::Event;
use crate::lease::Tenure;

const BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
const BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
const BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");

/// Why a batch has no PubAck of its own.
pub enum NotStored {
    /// Whether it is stored is not known; not the fault of any event.
    Outage(Outage),
    /// As a batch it is not stored: one by one will show why.
    Refused(String),
}

/// A batch that the broker has but for its last message, whose arrival stores them all.
#[derive(Debug)]
pub struct Staged {
    pub events: Vec<Event>,
    batch: String,
}

impl Publisher {
    /// Sends all messages of a batch but the last. If that fails nothing is stored, and the events come back with why.
    pub(super) async fn stage(&self, events: Vec<Event>) -> Result<Staged, (Vec<Event>, String)> {
        let batch = Uuid::now_v7().simple().to_string();
        match tokio::time::timeout(self.timeout, self.send_all_but_last(&events, &batch)).await {
            Ok(Ok(())) => Ok(Staged { events, batch }),
            Ok(Err(error)) => Err((events, chain(&error))),
            Err(_) => Err((events, "the connection takes no messages".to_owned())),
        }
    }

    /// Has the broker store a batch; its first event's sequence in the stream.
    pub(super) async fn commit(&self, staged: &Staged, tenure: &Tenure) -> Result<u64, NotStored> {
        let Staged { events, batch } = staged;
        if !tenure.is_valid() {
            return Err(NotStored::Outage(Outage("the lease ran out before the batch was committed".to_owned())));
        }
        let started = Instant::now();
        let ack = match tokio::time::timeout(self.timeout, self.send_last(events, batch)).await {
            Ok(Ok(ack)) => ack,
            Ok(Err(error)) => return Err(not_stored(&error)),
            Err(_) => return Err(NotStored::Outage(Outage("no PubAck of a batch in time".to_owned()))),
        };
        let count = events.len() as u64;
        if ack.batch_id.as_ref() != Some(batch) || ack.batch_size != Some(count) {
            return Err(NotStored::Refused("the server does not know atomic batches".to_owned()));
        }
        self.metrics.batch_puback(started.elapsed(), count);
        Ok(ack.sequence + 1 - count)
    }

    async fn send_all_but_last(&self, events: &[Event], batch: &str) -> Result<(), client::PublishError> {
        for (event, number) in events[..events.len() - 1].iter().zip(1..) {
            let headers = self.batch_headers(event, batch, number);
            self.client.publish_with_headers(event.subject.clone(), headers, event.payload.clone()).await?;
        }
        Ok(())
    }

    async fn send_last(&self, events: &[Event], batch: &str) -> Result<PublishAck, PublishError> {
        let last = &events[events.len() - 1];
        let mut headers = self.batch_headers(last, batch, events.len());
        headers.insert(BATCH_COMMIT, "1");
        let message = PublishMessage::build().payload(last.payload.clone()).headers(headers);
        self.context.send_publish(last.subject.clone(), message).await?.await
    }

    fn batch_headers(&self, event: &Event, batch: &str, number: usize) -> HeaderMap {
        let mut headers = message::headers(event, &self.stream);
        headers.insert(BATCH_ID, batch);
        headers.insert(BATCH_SEQUENCE, number.to_string());
        headers
    }
}

fn not_stored(error: &PublishError) -> NotStored {
    match classify(error) {
        Fault::Broker(reason) => NotStored::Outage(Outage(reason)),
        Fault::Event(reason) | Fault::Passing(reason) | Fault::Batch(reason) => NotStored::Refused(reason),
    }
}
