//! What the stream holds already.
//!
//! Asks the leader: a follower may be behind, and an answer from it would have us publish again what is there, or
//! believe what is not.

use std::time::Duration;

use async_nats::HeaderValue;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::RawMessageErrorKind;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use schema::names::MSG_ID_HEADER;
use uuid::Uuid;

use super::{Outage, Publisher, look};
use crate::event::Event;
use crate::store::outbox_settle::Found;

/// No message keeps the search waiting for longer.
const NEXT_WITHIN: Duration = Duration::from_secs(5);

/// A message of the stream: its dedup id and its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub msg_id: String,
    pub stream_seq: u64,
}

/// A message that was looked up.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredAt {
    pub msg_id: String,
    /// By the broker's clock.
    pub stored_at: Option<DateTime<Utc>>,
}

impl Stored {
    /// The event that it carries. None if the dedup id is not one that [`Event::msg_id`] makes.
    pub fn event(&self) -> Option<Found> {
        let (id, heal_epoch) = match self.msg_id.split_once(".h") {
            Some((id, epoch)) => (id, epoch.parse().ok()?),
            None => (self.msg_id.as_str(), 0),
        };
        let (id, is_tombstone) = id.strip_suffix(".discarded").map_or((id, false), |id| (id, true));
        let id = Uuid::try_parse(id).ok()?;
        Some((id.simple().to_string(), heal_epoch, self.stream_seq, is_tombstone))
    }
}

impl Publisher {
    /// Whether the stream's message at this sequence is the event.
    pub(super) async fn holds(&self, sequence: u64, event: &Event) -> Result<bool, Outage> {
        Ok(self.stored_at(sequence).await?.is_some_and(|message| message.msg_id == event.msg_id()))
    }

    /// The stream's message at this sequence, if there is one; by its leader's word.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn stored_at(&self, sequence: u64) -> Result<Option<StoredAt>, Outage> {
        let away = |error: &dyn std::fmt::Display| Outage(format!("looking up message {sequence}: {error}"));
        let stream = self.context.get_stream_no_info(&self.stream).await.map_err(|error| away(&error))?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => {
                let id = message.headers.get(MSG_ID_HEADER).map(HeaderValue::as_str).unwrap_or_default();
                Ok(Some(StoredAt { msg_id: id.to_owned(), stored_at: look::moment(message.time) }))
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(away(&error)),
        }
    }

    /// The messages between two sequences, both included, by an ordered consumer that is given headers only. The server
    /// that it runs on may be behind the leader, and not have the last of them.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn read(&self, from: u64, to: u64) -> Result<Vec<Stored>, Outage> {
        Ok(self.read_to(from, to).await?.0)
    }

    /// As [`Publisher::read`], with the sequence that it came to.
    pub(super) async fn read_to(&self, from: u64, to: u64) -> Result<(Vec<Stored>, u64), Outage> {
        let away = |error: &dyn std::fmt::Display| Outage(format!("reading messages {from} to {to}: {error}"));
        let config = OrderedConfig {
            // A user who may create nameless consumers may change those of others.
            name: Some(format!("outbox-relay-{}", Uuid::now_v7().simple())),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            headers_only: true,
            ..OrderedConfig::default()
        };
        let stream = self.context.get_stream_no_info(&self.stream).await.map_err(|error| away(&error))?;
        let consumer = stream.create_consumer(config).await.map_err(|error| away(&error))?;
        let mut found = Vec::new();
        if consumer.cached_info().num_pending == 0 {
            return Ok((found, from.saturating_sub(1)));
        }
        let mut messages = consumer.messages().await.map_err(|error| away(&error))?;
        loop {
            let message = tokio::time::timeout(NEXT_WITHIN, messages.next()).await.map_err(|late| away(&late))?;
            let message = message.ok_or_else(|| away(&"the consumer ended"))?.map_err(|error| away(&error))?;
            let place = message.info().map_err(|error| away(&error))?;
            let (stream_seq, pending) = (place.stream_sequence, place.pending);
            let id = message.headers.as_ref().and_then(|headers| headers.get(MSG_ID_HEADER));
            found.extend(id.filter(|_| stream_seq <= to).map(|id| Stored { msg_id: id.to_string(), stream_seq }));
            if stream_seq >= to || pending == 0 {
                return Ok((found, stream_seq));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dedup_ids_of_events_are_read_as_such() {
        let read = |msg_id: &str| Stored { msg_id: msg_id.to_owned(), stream_seq: 7 }.event();
        let (id, simple) = ("019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10", "019aab1e5c3a7d529e1f3f2b8c6d4a10".to_owned());
        assert_eq!(read(id), Some((simple.clone(), 0, 7, false)));
        assert_eq!(read(&format!("{id}.h2")), Some((simple.clone(), 2, 7, false)));
        assert_eq!(read(&format!("{id}.discarded")), Some((simple.clone(), 0, 7, true)));
        assert_eq!(read(&format!("{id}.discarded.h1")), Some((simple, 1, 7, true)));
        assert_eq!(read(&format!("{id}.r0")), None);
        assert_eq!(read(&format!("{id}.hx")), None);
        assert_eq!(read("somebody else's"), None);
    }
}
