//! Messages as the stream holds them, without a consumer: asked of the stream's leader one by one.
//!
//! Guarantees that a message is found whether the client can parse its headers or not: they come in an answer whose own headers
//! are the broker's, and with the headers that a delivery of it has: the name of a message is compared between the two. And
//! that only the broker's word that there is no message makes one missing: any other error is an outage.

use std::str::FromStr;

use async_nats::jetstream::stream::RawMessage;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, HeaderName, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::faults::Fault;
use super::pull::Delivery;
use crate::message::Message;

/// Put on a message by a consumer that brings headers only: how long the body is.
const SIZE_HEADER: &str = "Nats-Msg-Size";
/// The header block as it came: among the headers that could be made of it.
const WHOLE_HEADERS: &str = "whole-headers-base64";
/// The first words of a header block.
const VERSION: &str = "NATS/1.0";

/// A message, with what can be made of its headers.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) message: Message,
    /// What the client stumbles over in them, if it does.
    pub(super) fault: Option<&'static str>,
}

#[derive(Deserialize)]
struct Answer {
    message: Option<RawMessage>,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    err_code: u64,
}

/// A consumer that somebody told to bring headers only brings bodies by this way.
pub(super) async fn complete(client: &Client, stream: &str, batch: &mut [Delivery]) -> Result<(), Fault> {
    for message in batch.iter_mut().map(|delivery| &mut delivery.message).filter(|message| is_bodiless(message)) {
        if let Some(whole) = get(client, stream, message.stream_sequence).await?.map(|stored| stored.message) {
            (message.headers, message.payload) = (whole.headers, whole.payload);
        }
    }
    Ok(())
}

fn is_bodiless(message: &Message) -> bool {
    message.payload.is_empty() && message.header(SIZE_HEADER).is_some_and(|size| size != "0")
}

/// The first sequence that was stored at this time or later; the one after the last if there is none.
///
/// # Errors
/// If the stream can't be read.
pub async fn sequence_since(client: &Client, stream: &str, since: DateTime<Utc>) -> anyhow::Result<u64> {
    let found = jetstream::new(client.clone()).get_stream(stream).await?;
    let state = &found.cached_info().state;
    let (mut low, mut high) = (state.first_sequence, state.last_sequence + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = next(client, stream, middle).await.map_err(|fault| anyhow::anyhow!(fault.describe()))?;
        match found.map(|stored| stored.message).filter(|message| message.stored_at < since) {
            Some(message) => low = message.stream_sequence + 1,
            None => high = middle,
        }
    }
    Ok(low)
}

/// The message at a sequence; none if the stream does not hold it.
pub(super) async fn get(client: &Client, stream: &str, sequence: u64) -> Result<Option<Stored>, Fault> {
    Ok(ask(client, stream, json!({ "seq": sequence })).await?.as_ref().and_then(stored))
}

/// The first message at a sequence or above it.
pub(super) async fn next(client: &Client, stream: &str, sequence: u64) -> Result<Option<Stored>, Fault> {
    Ok(ask(client, stream, json!({ "seq": sequence, "next_by_subj": ">" })).await?.as_ref().and_then(stored))
}

async fn ask(client: &Client, stream: &str, question: serde_json::Value) -> Result<Option<RawMessage>, Fault> {
    let context = jetstream::new(client.clone());
    let answer = context.request(format!("STREAM.MSG.GET.{stream}"), &question).await;
    answer.map_err(|error| broker(&error)).and_then(held)
}

/// Not by its HTTP-like code: a stream that is not found is a 404 as well, and says nothing of its messages.
fn held(answer: Answer) -> Result<Option<RawMessage>, Fault> {
    match (answer.message, answer.error) {
        (Some(message), _) => Ok(Some(message)),
        (None, Some(refusal)) if refusal.err_code == ErrorCode::NO_MESSAGE_FOUND.0 => Ok(None),
        (None, refusal) => Err(broker(&format!("{refusal:?}"))),
    }
}

fn broker(error: &dyn std::fmt::Display) -> Fault {
    tracing::debug!(%error, "reading a stored message failed");
    Fault::BrokerUnreachable
}

fn stored(raw: &RawMessage) -> Option<Stored> {
    let block = STANDARD.decode(raw.headers.as_deref().unwrap_or_default()).ok()?;
    let text = String::from_utf8_lossy(&block);
    let fault = if block.is_empty() { None } else { fault(&block) };
    let whole = fault.map(|_| (WHOLE_HEADERS.to_owned(), STANDARD.encode(&block)));
    let message = Message {
        subject: raw.subject.clone(),
        headers: headers(&text).into_iter().chain(whole).collect(),
        payload: Bytes::from(STANDARD.decode(&raw.payload).ok()?),
        stream_sequence: raw.sequence,
        stored_at: DateTime::from_timestamp_nanos(i64::try_from(raw.time.unix_timestamp_nanos()).ok()?),
        deliveries: 1,
    };
    Some(Stored { message, fault })
}

/// As the client reads them: any end of a line ends it, and one that begins with a blank goes on with the value before.
fn headers(block: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in block.lines().skip(1).filter(|line| !line.is_empty()) {
        match headers.last_mut() {
            Some((_, value)) if line.starts_with(char::is_whitespace) => value.push_str(line),
            _ => {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                headers.push((name.to_owned(), value.trim_start().to_owned()));
            }
        }
    }
    headers.iter_mut().for_each(|(_, value)| value.truncate(value.trim_end().len()));
    headers
}

/// What the client stumbles over in a header block.
fn fault(block: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(block) else { return Some("not UTF-8") };
    let mut lines = text.lines();
    let Some(status) = lines.next().and_then(|line| line.strip_prefix(VERSION)) else {
        return Some("they do not begin with NATS/1.0");
    };
    let status = status.trim().split(' ').next().unwrap_or_default();
    if !status.is_empty() && StatusCode::from_str(status).is_err() {
        return Some("a status that is no number");
    }
    let mut has_name = false;
    for line in lines {
        if line.is_empty() {
            has_name = false;
            continue;
        }
        if line.contains('\r') {
            return Some("a line with a carriage return in it");
        }
        if has_name && line.starts_with(char::is_whitespace) {
            continue;
        }
        match line.split_once(':') {
            None => return Some("a line without a colon"),
            Some((name, _)) if HeaderName::from_str(name).is_err() => {
                return Some("a name with a blank or a letter that is not ASCII");
            }
            Some(_) => has_name = true,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_that_there_is_no_message_makes_one_missing() {
        let answer = |err_code: u64| {
            let answer = json!({ "error": { "code": 404, "err_code": err_code, "description": "" } });
            held(serde_json::from_value(answer).unwrap()).map(|message| message.is_none())
        };
        assert_eq!(answer(10037), Ok(true));
        for other in [10059, 10039, 10008, 10074] {
            assert_eq!(answer(other), Err(Fault::BrokerUnreachable));
        }
        assert!(held(serde_json::from_value(json!({})).unwrap()).is_err());
    }

    #[test]
    fn what_the_client_stumbles_over_is_told() {
        for (block, expected) in [
            (&b"NATS/1.0\r\nce-id: 1\r\nx:y\r\n z\r\n\r\n"[..], None),
            (b"NATS/1.0\r\na: 1\r\n\r\n no value\r\n\r\n", Some("a line without a colon")),
            (b"NATS/1.0\r\nname: caf\xe9\r\n\r\n", Some("not UTF-8")),
            (b"NATS/1.0\r\nno colon\r\n\r\n", Some("a line without a colon")),
            (b"NATS/1.0\r\na name: 1\r\n\r\n", Some("a name with a blank or a letter that is not ASCII")),
            (b"NATS/1.0\r\na: 1\r2\r\n\r\n", Some("a line with a carriage return in it")),
            (b"NATS/1.0 ABC\r\n\r\n", Some("a status that is no number")),
            (b"HTTP/1.1\r\n\r\n", Some("they do not begin with NATS/1.0")),
        ] {
            assert_eq!(fault(block), expected);
        }
    }
}
