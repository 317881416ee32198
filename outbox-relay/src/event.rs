//! From an outbox row to an event that can be published, or the reason why it never can.
//!
//! Pure. Any program may have written the row, so everything is checked here, before the broker sees a byte: a
//! reason says what to fix in the row.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::DateTime;
use runtime::telemetry::trace::TraceParent;
use schema::envelope::{DATASCHEMA, Envelope, is_reserved_header};
use schema::ids::EventId;
use schema::names::{TOMBSTONE, TOMBSTONE_HEADER, TRACEPARENT_HEADER};
use schema::sequence::Seq;

use crate::heal_epoch::HealEpoch;
use crate::reason::reason;
use crate::store::column::{HEADERS_BYTES_MAX, moment};
use crate::store::outbox::PendingRow;
use crate::store::outbox_settle::Key;
use crate::subject;

/// What events are kept in order by.
pub type Aggregate = (String, String);

/// A claimed event that is fit to be published.
#[derive(Clone, Debug)]
pub struct Event {
    pub seq: Seq,
    pub envelope: Envelope,
    pub subject: String,
    pub payload: Bytes,
    /// Headers beside the envelope's: the writer's own, such as `traceparent`, and the tombstone's.
    pub headers: BTreeMap<String, String>,
    pub attempts: u32,
    pub heal_epoch: HealEpoch,
    /// A person gave it up: consumers are to step over its version.
    pub is_tombstone: bool,
    /// When it was claimed, and since it was inserted until then.
    pub claimed: (Instant, Duration),
    /// Whether occurred_at is far from when it was inserted.
    pub is_far_off: bool,
}

impl Event {
    /// Reads a row.
    ///
    /// # Errors
    /// What is wrong with the row, for a person to fix.
    pub fn from_row(row: PendingRow, source: &str) -> Result<Self, String> {
        Self::read(row, source).map_err(reason)
    }

    fn read(row: PendingRow, source: &str) -> Result<Self, String> {
        if row.event_id.is_nil() {
            return Err("event_id must not be the nil UUID".to_owned());
        }
        // The table refuses such a row, unless its CHECK was switched off.
        let aggregate_id =
            row.aggregate_id.parse().map_err(|error| format!("aggregate_id {:?}: {error}", row.aggregate_id))?;
        subject::check(&row.subject)?;
        let version = row.aggregate_version.map(|version| {
            NonZeroU32::new(version).ok_or_else(|| "aggregate_version must be at least 1, or NULL".to_owned())
        });
        for (column, text) in [("aggregate_type", &row.aggregate_type), ("event_type", &row.event_type)] {
            check_header_text(column, text)?;
            if text.is_empty() {
                return Err(format!("{column} must not be empty"));
            }
            // NATS takes it from a header's ends: consumers would see another text, or none.
            if text.trim() != text {
                return Err(format!("{column} {text:?} begins or ends with white space"));
            }
        }
        // The verb that discards leaves neither.
        if row.is_discarded && (row.payload_bytes > 2 || row.headers_bytes > 0) {
            return Err("discarded_at is the relay's own: leave it out".to_owned());
        }
        let Some(payload) = row.payload else {
            return Err(format!("payload of {} bytes exceeds what the broker takes", row.payload_bytes));
        };
        if row.headers_bytes > HEADERS_BYTES_MAX {
            return Err(format!("headers of {} bytes exceed the 64 KiB that a broker takes", row.headers_bytes));
        }
        let json = payload.parse().map_err(|error| format!("payload must be a JSON object: {error}"))?;
        if !json.get().starts_with('{') {
            return Err("payload must be a JSON object".to_owned());
        }
        // MariaDB keeps the blanks around it, too: a replay makes the same bytes.
        let payload = Bytes::copy_from_slice(json.get().as_bytes());
        let mut headers = row.headers.map_or_else(|| Ok(BTreeMap::new()), |headers| own_headers(&headers.0))?;
        // What was given up needs no time: consumers only step over its version.
        let given_up_at = || row.is_discarded.then_some(DateTime::UNIX_EPOCH);
        let occurred_at = moment(row.occurred_at)
            .or_else(given_up_at)
            .ok_or("occurred_at is no date: leave it out, and it is when the row is inserted")?;
        if row.is_discarded {
            headers.insert(TOMBSTONE_HEADER.to_owned(), TOMBSTONE.to_owned());
        }
        Ok(Self {
            seq: row.seq,
            subject: row.subject,
            payload,
            headers,
            attempts: row.attempts,
            heal_epoch: row.heal_epoch,
            is_tombstone: row.is_discarded,
            claimed: (Instant::now(), Duration::from_micros(u64::try_from(row.waited_us).unwrap_or(0))),
            is_far_off: row.is_far_off,
            envelope: Envelope {
                event_id: EventId(row.event_id),
                source: source.to_owned(),
                event_type: row.event_type,
                aggregate_type: row.aggregate_type,
                aggregate_id,
                aggregate_version: version.transpose()?,
                occurred_at,
            },
        })
    }

    /// What a settle of it names.
    pub fn key(&self) -> Key {
        Key { seq: self.seq, event_id: self.envelope.event_id.0 }
    }

    /// The trace that its writer put it into.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.headers.get(TRACEPARENT_HEADER).and_then(|value| TraceParent::parse(value))
    }

    /// See [`msg_id`].
    pub fn msg_id(&self) -> String {
        msg_id(self.envelope.event_id, self.is_tombstone, self.heal_epoch)
    }

    /// Since it was inserted.
    pub fn age(&self) -> Duration {
        let (claimed_at, before) = self.claimed;
        before + claimed_at.elapsed()
    }

    /// The aggregate it belongs to.
    pub fn aggregate(&self) -> Aggregate {
        (self.envelope.aggregate_type.clone(), self.envelope.aggregate_id.to_string())
    }
}

/// The dedup id. A healed event has a fresh one, because the broker may remember the old one without the message; so has
/// a tombstone, because the broker may have stored the event before it was given up.
pub fn msg_id(event_id: EventId, is_tombstone: bool, heal_epoch: HealEpoch) -> String {
    let mut id = event_id.to_string();
    if is_tombstone {
        id.push_str(".discarded");
    }
    if heal_epoch != HealEpoch::NONE {
        id.push_str(&format!(".h{heal_epoch}"));
    }
    id
}

fn own_headers(headers: &str) -> Result<BTreeMap<String, String>, String> {
    let headers: Option<BTreeMap<String, String>> =
        serde_json::from_str(headers).map_err(|error| format!("headers must be a JSON object of strings: {error}"))?;
    let headers = headers.unwrap_or_default();
    for (name, value) in &headers {
        let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !is_token {
            return Err(reason(format_args!("header name {name:?} must be visible ASCII without a colon")));
        }
        if is_reserved_header(name) {
            return Err(reason(format_args!("header {name:?} is reserved for the envelope and NATS")));
        }
        check_header_text(name, value)?;
        if name == DATASCHEMA && !is_uri_reference(value) {
            return Err(reason(format_args!("header {name} {value:?} is no URI reference")));
        }
    }
    Ok(headers)
}

/// By its characters.
fn is_uri_reference(text: &str) -> bool {
    let is_of_uri = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_uri)
}

fn check_header_text(name: &str, text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err(reason(format_args!("{name} {text:?} has control characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::column::{JsonText, Moment};

    fn raw(json: &str) -> JsonText {
        JsonText(json.into())
    }

    fn row() -> PendingRow {
        PendingRow {
            seq: Seq(1),
            event_id: Uuid::now_v7(),
            aggregate_type: "order".to_owned(),
            aggregate_id: "4711".to_owned(),
            aggregate_version: Some(1),
            event_type: "order.created".to_owned(),
            subject: "order.created".to_owned(),
            payload: Some(raw("{}")),
            headers: None,
            occurred_at: Some(Moment("2026-11-22T11:30:00Z".parse().ok())),
            attempts: 0,
            heal_epoch: HealEpoch::NONE,
            is_discarded: false,
            payload_bytes: 2,
            headers_bytes: 0,
            waited_us: 0,
            is_far_off: false,
        }
    }

    fn fault(change: impl FnOnce(&mut PendingRow)) -> String {
        let mut row = row();
        change(&mut row);
        Event::from_row(row, "/test").unwrap_err()
    }

    #[test]
    fn a_reason_tells_what_to_fix() {
        assert!(fault(|row| row.event_id = Uuid::nil()).contains("event_id"));
        assert!(fault(|row| row.aggregate_id = "4711 ".to_owned()).contains("aggregate_id"));
        assert!(fault(|row| row.aggregate_version = Some(0)).contains("aggregate_version"));
        assert!(fault(|row| row.subject = "order.*".to_owned()).contains("wildcard"));
        assert!(fault(|row| row.event_type = "a\r\nb".to_owned()).contains("event_type"));
        assert!(fault(|row| row.aggregate_type = String::new()).contains("aggregate_type"));
        assert!(fault(|row| row.aggregate_type = "  ".to_owned()).contains("aggregate_type"));
        assert!(fault(|row| row.event_type = "order.created ".to_owned()).contains("white space"));
        assert!(fault(|row| row.payload = Some(raw("[1]"))).contains("JSON object"));
        assert!(fault(|row| row.payload = Some(raw("{\"a\":1.}"))).contains("payload"));
        assert!(fault(|row| row.headers = Some(raw("{\"a\":-}"))).contains("headers"));
        assert!(fault(|row| row.occurred_at = None).contains("occurred_at"));
        assert!(fault(|row| row.occurred_at = Some(Moment(None))).contains("occurred_at"));
        assert!(fault(|row| row.payload = None).contains("payload of 2 bytes"));
        assert!(fault(|row| row.headers_bytes = HEADERS_BYTES_MAX + 1).contains("64 KiB"));
        assert!(fault(|row| row.headers = Some(raw("[]"))).contains("headers"));
        assert!(fault(|row| row.headers = Some(raw(r#"{"a":1}"#))).contains("headers"));
        assert!(fault(|row| row.headers = Some(raw(r#"{"a":"x\r\ny"}"#))).contains("control"));
        assert!(fault(|row| row.headers = Some(raw(r#"{"a\r\nb":"x"}"#))).contains("header name"));
        assert!(fault(|row| row.headers = Some(raw(r#"{"nats-msg-id":"x"}"#))).contains("reserved"));
        assert!(fault(|row| row.headers = Some(raw(r#"{"CE-DataSchema":"/x"}"#))).contains("reserved"));
        assert!(fault(|row| row.headers = Some(raw(r#"{"ce-dataschema":"no uri"}"#))).contains("URI reference"));
    }

    #[test]
    fn a_json_null_means_no_headers() {
        let row = PendingRow { headers: Some(raw("null")), ..row() };
        assert!(Event::from_row(row, "/test").unwrap().headers.is_empty());
    }

    #[test]
    fn a_healed_event_has_a_fresh_dedup_id_and_keeps_its_event_id() {
        let healed = Event::from_row(PendingRow { heal_epoch: HealEpoch(2), ..row() }, "/test").unwrap();
        assert_eq!(healed.msg_id(), format!("{}.h2", healed.envelope.event_id));
    }

    #[test]
    fn a_tombstone_has_a_dedup_id_of_its_own_and_says_what_it_is() {
        let tombstone = Event::from_row(PendingRow { is_discarded: true, ..row() }, "/test").unwrap();
        assert_eq!(tombstone.msg_id(), format!("{}.discarded", tombstone.envelope.event_id));
        assert_eq!(tombstone.headers[TOMBSTONE_HEADER], TOMBSTONE);
        assert!(fault(|row| row.headers = Some(raw(r#"{"ce-tombstone":"true"}"#))).contains("reserved"));
    }
}
