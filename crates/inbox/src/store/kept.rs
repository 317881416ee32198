//! How a message is kept in a row of `inbox_dead` or `inbox_parked`, and read back as it came.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::message::Message;

const SUBJECT_CHARS_MAX: usize = 255;
const HEADER_CHARS_MAX: usize = 1000;
const WHOLE_SUBJECT: &str = "whole-subject";

/// The subject as the column has it, and the headers; a subject that is cut is kept whole among them.
pub(super) fn subject_and_headers(message: &Message) -> (String, Vec<(String, String)>) {
    let subject = cut(&message.subject, SUBJECT_CHARS_MAX);
    let mut headers = message.headers.clone();
    if subject != message.subject {
        headers.push((WHOLE_SUBJECT.to_owned(), message.subject.clone()));
    }
    (subject, headers)
}

/// Headers of a message that is too large: values cut, and no more of them than there is room for.
pub(super) fn cut_headers(headers: Vec<(String, String)>, mut room: usize) -> Vec<(String, String)> {
    let cut_value = |(name, value): (String, String)| (cut(&name, HEADER_CHARS_MAX), cut(&value, HEADER_CHARS_MAX));
    let fits = headers.into_iter().map(cut_value).take_while(|(name, value)| {
        let bytes = name.len() + value.len();
        let is_room = bytes <= room;
        room = room.saturating_sub(bytes);
        is_room
    });
    fits.collect()
}

/// A message from its row; its deliveries are not kept.
pub(super) fn message(
    (stream_sequence, stored_at): (u64, DateTime<Utc>),
    subject: String,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
) -> Message {
    let whole = headers.iter().find(|(name, _)| name == WHOLE_SUBJECT).map(|(_, subject)| subject.clone());
    let subject = whole.unwrap_or(subject);
    Message { subject, headers, payload: Bytes::from(payload), stream_sequence, stored_at, deliveries: 0 }
}

/// The first characters of a text; a column's limit counts characters.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
