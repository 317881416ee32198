//! The careful path: events are published one by one, many under way at once, in the order of `seq`.
//!
//! Each message names the sequence with which the stream has to end before it ([`super::fence`]). If one is not stored, the broker
//! refuses those behind it as well, and they are published again: no event overtakes another. A crash between PubAck and settle
//! stores no event twice, because [`super::tail`] finds it in the stream and the dedup window refuses it
//! (`a_crash_after_puback_stores_no_second_message`).

use std::collections::VecDeque;
use std::time::Instant;

use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use futures::{StreamExt, stream};
use schema::sequence::StreamSeq;

use super::faults::{Fault, classify};
use super::fence::Expected;
use super::queue::Queue;
use super::{Break, Outcome, Publisher, Report, message};
use crate::event::Event;
use crate::lease::Tenure;
use crate::metrics::Publish;

/// Single events under way at once, if the fence allows it.
const IN_FLIGHT_MAX: usize = 512;

/// Duplicates that are looked up at once.
const LOOK_UPS_MAX: usize = 64;

/// An event that was sent.
struct Sent {
    event: Event,
    at: Instant,
    answer: PublishAckFuture,
}

type Answer = Result<PublishAck, PublishError>;

impl Publisher {
    /// Publishes the next `count` events one by one and adds what became of them to the report. What could not be stored for
    /// no fault of its own is back in the queue.
    pub(super) async fn publish_singly(
        &self,
        queue: &mut Queue,
        count: usize,
        tenure: &Tenure,
        report: &mut Report,
    ) -> Result<(), Break> {
        let mut left = count;
        let mut under_way: VecDeque<Sent> = VecDeque::new();
        let mut expected = Expected::after(self.fence.last());
        loop {
            while left > 0 && under_way.len() < self.fence.burst().min(IN_FLIGHT_MAX) && tenure.is_valid() {
                let Some(event) = queue.next() else { break };
                left -= 1;
                let at = Instant::now();
                match self.send(&event, &expected).await {
                    Ok(answer) => {
                        expected.follow(event.msg_id());
                        under_way.push_back(Sent { event, at, answer });
                    }
                    // It never left, so the numbers still come true.
                    Err(error) => {
                        let answer = Err(error);
                        self.count(&answer, 1);
                        self.conclude(event, answer, queue, report).map_or(Ok(()), Err)?;
                    }
                }
            }
            let Some(Sent { event, at, answer }) = under_way.pop_front() else { return Ok(()) };
            match answer.await {
                Ok(ack) if !ack.duplicate => self.stored(event, at, &ack, report),
                answer => return Err(self.after_refusal(event, answer, under_way, (queue, report)).await),
            }
        }
    }

    async fn send(&self, event: &Event, expected: &Expected) -> Result<PublishAckFuture, PublishError> {
        let mut headers = message::headers(event, &self.stream);
        expected.insert(&mut headers);
        let message = PublishMessage::build().payload(event.payload.clone()).headers(headers);
        self.context.send_publish(event.subject.clone(), message).await
    }

    fn stored(&self, event: Event, at: Instant, ack: &PublishAck, report: &mut Report) {
        self.metrics.stored(at.elapsed(), 1);
        let stream_seq = StreamSeq(ack.sequence);
        self.fence.stored(stream_seq, 1);
        report.outcomes.push((event, Outcome::Published { stream_seq }));
    }

    /// One was not stored: hears what became of those behind it. They are refused for the number that they expected, or have
    /// a fault of their own; that the stream has one already is answered before its number is checked, or when it comes again.
    async fn after_refusal(
        &self,
        first: Event,
        answer: Answer,
        mut behind: VecDeque<Sent>,
        (queue, report): (&mut Queue, &mut Report),
    ) -> Break {
        let mut answers = vec![(first, answer)];
        // Who is silent about one is silent about the others: each would be waited for.
        while !answers.last().is_some_and(|(_, answer)| is_outage(answer))
            && let Some(Sent { event, at, answer }) = behind.pop_front()
        {
            match answer.await {
                Ok(ack) if !ack.duplicate => self.stored(event, at, &ack, report),
                answer => answers.push((event, answer)),
            }
        }
        for (_, answer) in &answers {
            self.count(answer, 1);
        }
        if let Some((_, last)) = answers.last() {
            self.count(last, behind.len());
        }
        let (mut refused, mut duplicates, mut end) = (Vec::new(), Vec::new(), Break::Fence { told: None });
        for (event, answer) in answers {
            match answer {
                Ok(ack) => duplicates.push((event, StreamSeq(ack.sequence))),
                Err(error) => match classify(&error) {
                    Fault::Fence { told, .. } => {
                        if refused.is_empty() && duplicates.is_empty() {
                            end = Break::Fence { told };
                        }
                        refused.push(event);
                    }
                    _ => {
                        if let Some(outage) = self.conclude(event, Err(error), queue, report) {
                            return outage;
                        }
                    }
                },
            }
        }
        queue.put_back(refused.into_iter());
        match self.look_up(duplicates, queue, report).await {
            Ok(()) => end,
            Err(outage) => outage,
        }
    }

    /// Counts what became of events that were not stored now.
    fn count(&self, answer: &Answer, events: usize) {
        let outcome = match answer {
            Ok(_) => Publish::Duplicate,
            Err(error) => self.outcome(error),
        };
        self.metrics.published(outcome, events as u64);
    }

    /// Adds what became of an event that was not stored to the report; if that is not its own fault, why all have to wait.
    fn conclude(&self, event: Event, answer: Answer, queue: &mut Queue, report: &mut Report) -> Option<Break> {
        let outcome = match classify(&answer.err()?) {
            Fault::Broker(reason) => return Some(Break::outage(reason)),
            Fault::Event(reason) => Outcome::Refused { reason },
            Fault::Limit(reason) => Outcome::OverLimit { reason },
            Fault::Passing(reason) | Fault::Batch(reason) | Fault::Fence { reason, .. } => Outcome::Failed { reason },
        };
        queue.stop(&event);
        report.outcomes.push((event, outcome));
        None
    }

    /// Whether the stream has what the broker says that it has.
    async fn look_up(
        &self,
        duplicates: Vec<(Event, StreamSeq)>,
        queue: &mut Queue,
        report: &mut Report,
    ) -> Result<(), Break> {
        let mut looked_up = stream::iter(duplicates)
            .map(async |(event, sequence)| (self.holds(sequence, &event).await, event, sequence))
            .buffered(LOOK_UPS_MAX);
        while let Some((is_held, event, stream_seq)) = looked_up.next().await {
            let is_held = is_held.map_err(Break::Outage)?;
            if is_held {
                report.outcomes.push((event, Outcome::Published { stream_seq }));
            } else {
                queue.stop(&event);
                report.outcomes.push((event, Outcome::Forgotten));
            }
        }
        Ok(())
    }
}

fn is_outage(answer: &Answer) -> bool {
    answer.as_ref().is_err_and(|error| matches!(classify(error), Fault::Broker(_)))
}
