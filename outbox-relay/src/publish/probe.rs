//! Whether this leader leads: it can store a message behind the last one that it claims to have.
//!
//! A leader that was cut off from the others goes on to answer for some ten seconds with what it had, and what the others took
//! since looks lost. What it can't do is have a message stored, for which it needs the others. So a lost event is published
//! again, behind the fence of the sequence that the leader claims. A message that such a leader took all the same is dropped
//! when it meets the others; one that a network held back until then is refused, because the real stream went on.

use async_nats::jetstream::message::PublishMessage;
use runtime::telemetry::chain;
use schema::sequence::StreamSeq;

use super::faults::{Fault, classify};
use super::fence::Expected;
use super::{Outage, Publisher, message};
use crate::event::Event;

/// So many of the last messages are searched for a probe whose PubAck nobody heard.
const SEARCH_MAX: u64 = 2_000;

/// What became of a probe.
#[derive(Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is stored now: the leader leads.
    Stored { stream_seq: StreamSeq },
    /// It had been stored before, which says nothing of the leader.
    Known { stream_seq: StreamSeq },
    /// The stream does not end where the leader said, or not any more.
    Refused,
    /// The broker knows its dedup id and has it not: another id is needed.
    Forgotten,
    /// The broker does not take this event.
    Unfit { reason: String },
}

impl Publisher {
    /// Whether the stream took this subject when it was last seen.
    pub fn takes(&self, subject: &str) -> bool {
        self.terms.now().is_none_or(|taken| taken.takes(subject))
    }

    /// Publishes an event as the one behind `last_seq`.
    ///
    /// # Errors
    /// If it is not known to be stored, nor refused.
    pub async fn probe(&self, event: &Event, last_seq: StreamSeq) -> Result<Probe, Outage> {
        let mut headers = message::headers(event, &self.stream);
        Expected::after(last_seq).insert(&mut headers);
        let message = PublishMessage::build().payload(event.payload.clone()).headers(headers);
        let answer = match self.context.send_publish(event.subject.clone(), message).await {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(ack) if !ack.duplicate => {
                let stream_seq = StreamSeq(ack.sequence);
                self.fence.stored(stream_seq, 1);
                Ok(Probe::Stored { stream_seq })
            }
            Ok(ack) if self.holds(StreamSeq(ack.sequence), event).await? => {
                Ok(Probe::Known { stream_seq: StreamSeq(ack.sequence) })
            }
            Ok(_) => Ok(Probe::Forgotten),
            Err(error) => match classify(&error) {
                Fault::Fence { .. } => Ok(Probe::Refused),
                Fault::Event(reason) | Fault::Limit(reason) | Fault::Passing(reason) => Ok(Probe::Unfit { reason }),
                Fault::Broker(_) | Fault::Batch(_) => Err(Outage(format!(
                    "the stream's leader does not prove that it leads, so what it lacks is not believed to be lost: {}",
                    chain(&error)
                ))),
            },
        }
    }

    /// Where an earlier probe with this event was stored, if its PubAck was not heard: nothing of ours was published since.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn earlier_probe(&self, event: &Event, last_seq: StreamSeq) -> Result<Option<StreamSeq>, Outage> {
        let stored = self.stored_between(last_seq.minus(SEARCH_MAX), last_seq).await?;
        let id = event.msg_id();
        Ok(stored.into_iter().rev().find(|stored| stored.msg_id == id).map(|stored| stored.stream_seq))
    }
}
