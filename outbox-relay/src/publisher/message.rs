//! An event as a NATS message.

use async_nats::HeaderMap;
use schema::names::MSG_ID_HEADER;

use crate::event::Event;

/// The header by which a server refuses an event that another stream would take.
const EXPECTED_STREAM_HEADER: &str = "Nats-Expected-Stream";

/// The headers of an event on either path.
pub fn headers(event: &Event, stream: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MSG_ID_HEADER, event.msg_id());
    headers.insert(EXPECTED_STREAM_HEADER, stream);
    for (name, value) in event.envelope.headers() {
        headers.insert(name, value);
    }
    for (name, value) in &event.headers {
        headers.insert(name.as_str(), value.as_str());
    }
    headers
}
