//! Messages of the stream, as far as they matter: which event one carries, by its dedup id.

use chrono::{DateTime, Utc};
use schema::names::MSG_ID_HEADER;
use schema::sequence::StreamSeq;
use uuid::Uuid;

use crate::heal_epoch::HealEpoch;
use crate::store::outbox_settle::Found;

/// A message of the stream: its dedup id and its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub msg_id: String,
    pub stream_seq: StreamSeq,
}

/// A message that was looked up.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredAt {
    pub msg_id: String,
    /// By the broker's clock.
    pub stored_at: Option<DateTime<Utc>>,
}

impl Stored {
    /// The event that it carries. None if the dedup id is not one that [`crate::event::Event::msg_id`] makes.
    pub fn event(&self) -> Option<Found> {
        let (id, heal_epoch) = match self.msg_id.split_once(".h") {
            Some((id, epoch)) => (id, HealEpoch(epoch.parse().ok()?)),
            None => (self.msg_id.as_str(), HealEpoch::NONE),
        };
        let (id, is_tombstone) = id.strip_suffix(".discarded").map_or((id, false), |id| (id, true));
        let event_id = Uuid::try_parse(id).ok()?;
        Some(Found { event_id, heal_epoch, stream_seq: self.stream_seq, is_tombstone })
    }
}

/// The dedup id in the headers as they are stored; empty if there is none.
pub(super) fn msg_id(headers: &[u8]) -> String {
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
        let read = |msg_id: &str| Stored { msg_id: msg_id.to_owned(), stream_seq: StreamSeq(7) }.event();
        let id = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";
        let found = |epoch, is_tombstone| {
            let event_id = Uuid::try_parse(id).unwrap();
            Some(Found { event_id, heal_epoch: HealEpoch(epoch), stream_seq: StreamSeq(7), is_tombstone })
        };
        assert_eq!(read(id), found(0, false));
        assert_eq!(read(&format!("{id}.h2")), found(2, false));
        assert_eq!(read(&format!("{id}.discarded")), found(0, true));
        assert_eq!(read(&format!("{id}.discarded.h1")), found(1, true));
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
