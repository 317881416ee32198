//! An event as a NATS message.

use async_nats::header::{HeaderMap, HeaderName};
use schema::envelope::own_header;
use schema::names::MSG_ID_HEADER;

use crate::event::Event;

/// The header by which a server refuses an event that another stream would take.
const EXPECTED_STREAM: HeaderName = HeaderName::from_static("Nats-Expected-Stream");
const MSG_ID: HeaderName = HeaderName::from_static(MSG_ID_HEADER);

/// The headers of an event on either path.
pub fn headers(event: &Event, stream: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MSG_ID, event.msg_id());
    headers.insert(EXPECTED_STREAM, stream);
    for (name, value) in event.envelope.headers() {
        headers.insert(HeaderName::from_static(name), value);
    }
    for (name, value) in &event.headers {
        headers.insert(name.as_str(), own_header(name, value).as_ref());
    }
    headers
}
