//! The fast path: a claimed batch as one JetStream atomic batch (ADR-50).
//!
//! Three headers a message and one PubAck for all; the sequences are contiguous and end with the PubAck's. The first message
//! says which end of the stream the batch expects ([`super::fence`]); that is checked at the commit. All or
//! nothing, so order holds under any failure: a batch that lost a message on the way is refused at its commit, one that
//! never commits is forgotten by the broker after ten seconds. One duplicate id refuses the whole batch, which is the
//! aftermath of a crash between PubAck and settle. A server that does not know the headers stores the messages one by
//! one and says no batch in its PubAck: that counts as a refusal, and the dedup ids show what is there already.

use std::time::Instant;

use async_nats::client;
use async_nats::header::{HeaderMap, HeaderName};
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use runtime::telemetry::chain;
use schema::sequence::StreamSeq;
use uuid::Uuid;

use super::faults::{Fault, classify, silence};
use super::fence::Expected;
use super::queue::Queue;
use super::{Break, Publisher, Report, message};
use crate::event::Event;
use crate::lease::Tenure;
use crate::metrics::{Path, Publish};

const BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
const BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
const BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");

/// A batch that the broker has but for its last message, whose arrival stores them all.
#[derive(Debug)]
struct Staged {
    events: Vec<Event>,
    batch: String,
    /// Where the stream has to end.
    expected: StreamSeq,
}

/// What the broker takes in one atomic batch, unless its configuration says less; then it refuses, and we are careful.
const ATOMIC_MAX: usize = 1_000;

impl Publisher {
    /// Publishes the queue as batches. While the broker stores one, the next is made ready, and it goes only if the one before
    /// is wholly in the stream. What could not be stored is back in the queue.
    pub(super) async fn publish_batches(
        &self,
        queue: &mut Queue,
        tenure: &Tenure,
        report: &mut Report,
    ) -> Result<(), Break> {
        let mut expected = self.fence.last();
        let mut ready = self.stage(queue, expected).await?;
        while let Some(batch) = ready {
            expected = expected.plus(batch.events.len() as u64);
            let (committed, next) = tokio::join!(self.commit(&batch, tenure), self.stage(queue, expected));
            let end = match committed {
                Ok(first_seq) => {
                    report.stored(batch.events, first_seq);
                    ready = next?;
                    continue;
                }
                Err(end) => end,
            };
            if let Ok(Some(next)) = next {
                queue.put_back(next.events.into_iter());
            }
            queue.put_back(batch.events.into_iter());
            return Err(end);
        }
        Ok(())
    }

    /// Sends all messages of the next batch but the last; none if too few are left for one. If that fails nothing is stored.
    async fn stage(&self, queue: &mut Queue, expected: StreamSeq) -> Result<Option<Staged>, Break> {
        if !self.goes_atomic(queue) {
            return Ok(None);
        }
        let events = queue.take(self.fence.burst().min(ATOMIC_MAX));
        if events.is_empty() {
            return Ok(None);
        }
        let batch = Uuid::now_v7().simple().to_string();
        let sent = tokio::time::timeout(self.timeout, self.send_all_but_last(&events, &batch, expected)).await;
        let reason = match sent {
            Ok(Ok(())) => return Ok(Some(Staged { events, batch, expected })),
            Ok(Err(error)) => chain(&error),
            Err(_) => "the connection takes no messages".to_owned(),
        };
        let count = events.len();
        self.metrics.published(Publish::NoConnection, count as u64);
        queue.put_back(events.into_iter());
        Err(Break::Batch { events: count, reason })
    }

    /// Has the broker store a batch; its first event's sequence in the stream.
    async fn commit(&self, staged: &Staged, tenure: &Tenure) -> Result<StreamSeq, Break> {
        let Staged { events, batch, .. } = staged;
        if !tenure.is_valid() {
            return Err(Break::outage("the lease ran out before the batch was committed".to_owned()));
        }
        let started = Instant::now();
        let ack = match tokio::time::timeout(self.timeout, self.send_last(staged)).await {
            Ok(Ok(ack)) => ack,
            Ok(Err(error)) => {
                self.metrics.published(self.outcome(&error), events.len() as u64);
                return Err(not_stored(&error, events.len()));
            }
            Err(_) => {
                self.metrics.published(silence(self.is_connected()), events.len() as u64);
                return Err(Break::outage("no PubAck of a batch in time".to_owned()));
            }
        };
        let count = events.len();
        if ack.batch_id.as_ref() != Some(batch) || ack.batch_size != Some(count as u64) {
            let reason = "the server does not know atomic batches".to_owned();
            return Err(Break::Batch { events: count, reason });
        }
        self.metrics.stored(started.elapsed(), count as u64);
        self.metrics.batch(Path::Atomic, count);
        let last = StreamSeq(ack.sequence);
        self.fence.stored(last, count);
        Ok(last.next().minus(count as u64))
    }

    async fn send_all_but_last(
        &self,
        events: &[Event],
        batch: &str,
        expected: StreamSeq,
    ) -> Result<(), client::PublishError> {
        for (event, number) in events[..events.len() - 1].iter().zip(1..) {
            let headers = self.batch_headers(event, batch, number, expected);
            self.client.publish_with_headers(event.subject.clone(), headers, event.payload.clone()).await?;
        }
        Ok(())
    }

    async fn send_last(&self, Staged { events, batch, expected }: &Staged) -> Result<PublishAck, PublishError> {
        let last = &events[events.len() - 1];
        let mut headers = self.batch_headers(last, batch, events.len(), *expected);
        headers.insert(BATCH_COMMIT, "1");
        let message = PublishMessage::build().payload(last.payload.clone()).headers(headers);
        self.context.send_publish(last.subject.clone(), message).await?.await
    }

    fn batch_headers(&self, event: &Event, batch: &str, number: usize, expected: StreamSeq) -> HeaderMap {
        let mut headers = message::headers(event, &self.stream);
        headers.insert(BATCH_ID, batch);
        headers.insert(BATCH_SEQUENCE, number.to_string());
        if number == 1 {
            Expected::after(expected).insert(&mut headers);
        }
        headers
    }
}

fn not_stored(error: &PublishError, events: usize) -> Break {
    match classify(error) {
        Fault::Broker(reason) => Break::outage(reason),
        Fault::Fence { told, .. } => Break::Fence { told },
        Fault::Event(reason) | Fault::Limit(reason) | Fault::Passing(reason) | Fault::Batch(reason) => {
            Break::Batch { events, reason }
        }
    }
}
