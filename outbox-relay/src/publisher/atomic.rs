//! The fast path: a claimed batch as one JetStream atomic batch (ADR-50).
//!
//! Three headers a message and one PubAck for all; the sequences are contiguous and end with the PubAck's. All or
//! nothing, so order holds under any failure: a batch that lost a message on the way is refused at its commit, one that
//! never commits is forgotten by the broker after ten seconds. One duplicate id refuses the whole batch, which is the
//! aftermath of a crash between PubAck and settle. A server that does not know the headers stores the messages one by
//! one and says no batch in its PubAck: that counts as a refusal, and the ids tell what is there already.

use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use runtime::telemetry::chain;
use uuid::Uuid;

use super::faults::{Fault, classify};
use super::{Outage, Publisher, message};
use crate::event::Event;
use crate::lease::Tenure;

const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// Why a batch has no PubAck of its own.
pub enum NotStored {
    /// Whether it is stored is not known; not the fault of any event.
    Outage(Outage),
    /// As a batch it is not stored: one by one will show why.
    Refused(String),
}

impl Publisher {
    /// Publishes a batch; its first event's sequence in the stream.
    pub(super) async fn publish_atomically(&self, events: &[Event], tenure: &Tenure) -> Result<u64, NotStored> {
        let started = Instant::now();
        let batch = Uuid::now_v7().simple().to_string();
        let ack = match tokio::time::timeout(self.timeout, self.send_batch(events, &batch, tenure)).await {
            Ok(Ok(ack)) => ack,
            Ok(Err(not_stored)) => return Err(not_stored),
            Err(_) => return Err(NotStored::Outage(Outage("no PubAck of a batch in time".to_owned()))),
        };
        let count = events.len() as u64;
        if ack.batch_id.as_ref() != Some(&batch) || ack.batch_size != Some(count) {
            return Err(NotStored::Refused("the server does not know atomic batches".to_owned()));
        }
        self.metrics.batch_puback(started.elapsed(), count);
        Ok(ack.sequence + 1 - count)
    }

    async fn send_batch(&self, events: &[Event], batch: &str, tenure: &Tenure) -> Result<PublishAck, NotStored> {
        let Some((last, others)) = events.split_last() else {
            return Err(NotStored::Refused("an empty batch".to_owned()));
        };
        for (event, number) in others.iter().zip(1_u32..) {
            let headers = self.batch_headers(event, batch, number);
            let published =
                self.client.publish_with_headers(event.subject.clone(), headers, event.payload.clone().into());
            // Nothing was committed: the careful path finds the event that is at fault, or that the client is gone.
            published.await.map_err(|error| NotStored::Refused(chain(&error)))?;
        }
        if !tenure.is_valid() {
            return Err(NotStored::Outage(Outage("the lease ran out before the batch was committed".to_owned())));
        }
        let mut headers = self.batch_headers(last, batch, u32::try_from(events.len()).unwrap_or(u32::MAX));
        headers.insert(BATCH_COMMIT, "1");
        let message = PublishMessage::build().payload(last.payload.clone().into()).headers(headers);
        let answer = async { self.context.send_publish(last.subject.clone(), message).await?.await };
        answer.await.map_err(|error| not_stored(&error))
    }

    fn batch_headers(&self, event: &Event, batch: &str, number: u32) -> HeaderMap {
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
