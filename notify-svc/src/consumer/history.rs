//! Whether the consumer still fits its stream. Brokers lose streams, rewind them and keep consumers that have read further
//! than the stream goes; such a consumer starves without a word.
//!
//! The signs: the consumer is gone; it was made for another incarnation of the stream, which its metadata names; it has
//! delivered or acknowledged more than the stream ever held; the last message that this process has processed is another
//! one now. A false alarm costs a re-read, which the inbox recognises.

use std::sync::{Mutex, PoisonError};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use chrono::{DateTime, Utc};
use schema::names;

use super::faults::Fault;
use crate::message::Message;

/// The consumer's metadata: when the stream that it was made for was created.
pub(super) const STREAM_CREATED: &str = "stream-created";

/// Why a consumer is made again from the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It was deleted, or lost with its broker.
    ConsumerGone,
    /// It has read further than the stream goes.
    ConsumerAhead,
    /// The stream was deleted and made again, or the broker is another one.
    StreamRecreated,
    /// Another message stands where one was processed.
    StreamRewritten,
}

impl Repair {
    /// All of them, for metrics that start at 0.
    pub const ALL: [Self; 4] = [Self::ConsumerGone, Self::ConsumerAhead, Self::StreamRecreated, Self::StreamRewritten];

    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ConsumerGone => "consumer_gone",
            Self::ConsumerAhead => "consumer_ahead",
            Self::StreamRecreated => "stream_recreated",
            Self::StreamRewritten => "stream_rewritten",
        }
    }

    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::ConsumerGone => "the consumer is gone",
            Self::ConsumerAhead => "the consumer has read further than the stream goes",
            Self::StreamRecreated => "the stream is another one than the consumer was made for",
            Self::StreamRewritten => "the stream holds another message where one was processed",
        }
    }
}

/// What this process remembers of the stream.
#[derive(Debug, Default)]
pub struct History {
    memory: Mutex<Memory>,
}

#[derive(Clone, Debug, Default)]
struct Memory {
    stream_created: Option<String>,
    consumer_created: Option<String>,
    /// The last message that was processed, read through that consumer.
    landmark: Option<(u64, DateTime<Utc>)>,
}

/// A moment of the broker as text that compares.
pub(super) fn created(moment: impl std::fmt::Display) -> String {
    moment.to_string()
}

impl History {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the process is attached to. A landmark is worth nothing to another consumer, which may be reading again.
    pub(super) fn attached(&self, stream: &Stream, info: &consumer::Info) {
        let mut memory = self.memory();
        let consumer_created = Some(created(info.created));
        if memory.consumer_created != consumer_created {
            memory.landmark = None;
        }
        memory.stream_created = Some(created(stream.cached_info().created));
        memory.consumer_created = consumer_created;
    }

    /// Notes the last message of a batch.
    pub(super) fn processed(&self, message: &Message) {
        self.memory().landmark = Some((message.stream_sequence, message.stored_at));
    }

    /// Looks for the signs.
    pub(super) async fn diagnose(&self, stream: &Stream) -> Result<Option<Repair>, Fault> {
        let memory = self.memory().clone();
        let unreachable = |error: &dyn std::fmt::Display| {
            tracing::debug!(%error, "looking at the stream failed");
            Fault::BrokerUnreachable
        };
        // The consumer first: it can't have read further than the stream goes a moment later.
        let info = match stream.consumer_info(names::NOTIFY_DURABLE).await {
            Ok(info) => Some(info),
            Err(error) => match error.kind() {
                ConsumerInfoErrorKind::NotFound => None,
                ConsumerInfoErrorKind::JetStream(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => None,
                _ => return Err(unreachable(&error)),
            },
        };
        let now = stream.get_info().await.map_err(|error| unreachable(&error))?;
        let stream_created = created(now.created);
        let is_other_stream = memory.stream_created.as_ref().is_some_and(|known| *known != stream_created);
        let Some(info) = info else {
            let gone = memory.consumer_created.map(|_| Repair::ConsumerGone);
            return Ok(if is_other_stream { Some(Repair::StreamRecreated) } else { gone });
        };
        // Another replica may have made it anew before us.
        let made_for_other = match info.config.metadata.get(STREAM_CREATED) {
            Some(made_for) => *made_for != stream_created,
            None => is_other_stream,
        };
        if made_for_other {
            return Ok(Some(Repair::StreamRecreated));
        }
        let read = info.ack_floor.stream_sequence.max(info.delivered.stream_sequence);
        if read > now.state.last_sequence {
            return Ok(Some(Repair::ConsumerAhead));
        }
        if memory.consumer_created != Some(created(info.created)) {
            return Ok(None);
        }
        match memory.landmark {
            Some((sequence, _)) if sequence > now.state.last_sequence => Ok(Some(Repair::StreamRewritten)),
            Some(landmark) => look_at(stream, landmark).await.map_err(|error| unreachable(&error)),
            None => Ok(None),
        }
    }
}

/// Whether the message still stands where it stood; one that is gone may have aged out.
async fn look_at(
    stream: &Stream,
    (sequence, stored_at): (u64, DateTime<Utc>),
) -> Result<Option<Repair>, async_nats::jetstream::stream::RawMessageError> {
    match stream.get_raw_message(sequence).await {
        Ok(message) => {
            let is_same =
                i128::from(stored_at.timestamp_nanos_opt().unwrap_or_default()) == message.time.unix_timestamp_nanos();
            Ok(if is_same { None } else { Some(Repair::StreamRewritten) })
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error),
    }
}
