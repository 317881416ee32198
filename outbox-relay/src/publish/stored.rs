//! What the stream holds already, asked of its leader message by message.
//!
//! A follower may be behind, and an answer from it would have us publish again what is there, or believe what is not. So
//! nothing is read through a consumer, whose server may be one, and which a limit on consumers can refuse. Many questions are
//! under way at once. A message whose headers no client can read is read all the same: of its bytes, its dedup id is all that counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use schema::names::MSG_ID_HEADER;
use serde::Deserialize;
use uuid::Uuid;

use super::{Outage, Publisher};
use crate::event::Event;
use crate::store::outbox_settle::Found;

/// Questions at once: far fewer than a server keeps waiting before it drops them all (10,000).
pub(super) const LOOK_UPS_MAX: usize = 256;
/// The server's code for a place where no message is.
const NO_MESSAGE: u64 = 10037;

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

/// What the server answers, as far as it matters.
#[derive(Deserialize)]
struct Answer {
    message: Option<Raw>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Raw {
    /// In base64.
    #[serde(default)]
    hdrs: String,
    time: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Refusal {
    err_code: u64,
    #[serde(default)]
    description: String,
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
        let subject = format!("STREAM.MSG.GET.{}", self.stream);
        let question = serde_json::json!({ "seq": sequence });
        let answer: Answer = self.context.request(subject, &question).await.map_err(|error| away(&error))?;
        match answer {
            Answer { message: Some(Raw { hdrs, time }), .. } => {
                let headers = STANDARD.decode(hdrs).map_err(|error| away(&error))?;
                let stored_at = DateTime::from_timestamp_micros(time.timestamp_micros());
                Ok(Some(StoredAt { msg_id: msg_id(&headers), stored_at }))
            }
            Answer { error: Some(Refusal { err_code: NO_MESSAGE, .. }), .. } => Ok(None),
            Answer { error: Some(Refusal { description, .. }), .. } => Err(away(&description)),
            Answer { error: None, .. } => Err(away(&"the answer has no message")),
        }
    }
}

/// The dedup id in the headers as they are stored; empty if there is none.
fn msg_id(headers: &[u8]) -> String {
    let lines = headers.split(|byte| *byte == b'\n');
    let value = |line: &[u8]| {
        let (name, value) = line.split_at_checked(MSG_ID_HEADER.len())?;
        let value = value.strip_prefix(b":")?;
        name.eq_ignore_ascii_case(MSG_ID_HEADER.as_bytes()).then(|| value.trim_ascii().to_vec())
    };
    let id = lines.into_iter().find_map(value).unwrap_or_default();
    String::from_utf8_lossy(&id).into_owned()
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

    #[test]
    fn a_dedup_id_is_found_among_headers_that_no_client_can_read() {
        assert_eq!(msg_id(b"NATS/1.0\r\nNats-Msg-Id: a.h1\r\n\r\n"), "a.h1");
        assert_eq!(msg_id(b"NATS/1.0\r\nx\xe9: \xe9\r\nno colon\r\nNats-Msg-Id:a\r\n\r\n"), "a");
        assert_eq!(msg_id(b"NATS/1.0\r\nNats-Msg-Idea: a\r\n\r\n"), "");
        assert_eq!(msg_id(b""), "");
    }
}
