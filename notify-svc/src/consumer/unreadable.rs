//! Messages whose headers the client can't read: it drops the connection over each, or its task panics, whenever the broker
//! delivers one (nats.rs issue 1572). They are found among what was delivered and not answered, read by sequence in an
//! answer whose own headers are the broker's, kept whole in `inbox_dead` and termed.
//!
//! Is looked at when the process attaches after a start or a lost connection, so such a message costs one reconnect.
//! What the lost connection had brought with it is sent back, rather than waited for until the end of the ack wait.

use std::str::FromStr;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::RawMessage;
use async_nats::{Client, HeaderName, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::DateTime;
use futures::{StreamExt, stream};
use schema::names;
use serde::Deserialize;
use serde_json::json;

use super::attachment::Attached;
use super::faults::Fault;
use crate::message::Message;
use crate::position;
use crate::process::Process;
use crate::store::inbox_read::Run;

/// Sequences that are read from each end of what is not answered.
const WINDOW: u64 = 4096;
const READS: usize = 16;
const TIME_MAX: Duration = Duration::from_secs(10);
/// The header block as it came: among the headers that could be made of it.
const WHOLE_HEADERS: &str = "whole-headers-base64";
/// The first words of a header block.
const VERSION: &str = "NATS/1.0";

#[derive(Deserialize)]
struct Answer {
    message: Option<RawMessage>,
    error: Option<Refusal>,
}

/// Not by its HTTP-like code: a stream that is not found is a 404 as well, and says nothing of its messages.
#[derive(Deserialize)]
struct Refusal {
    err_code: u64,
}

/// Finds and settles them; returns how many there were. Gives up quietly: a fault of the broker shows elsewhere.
pub(super) async fn settle_all(client: &Client, attached: &Attached, process: &Process) -> Result<usize, Fault> {
    let info = attached.stream.consumer_info(names::NOTIFY_DURABLE).await.map_err(|error| {
        tracing::debug!(%error, "looking up the consumer failed");
        Fault::BrokerUnreachable
    })?;
    if info.num_ack_pending == 0 {
        return Ok(0);
    }
    let (floor, end) = (info.ack_floor.stream_sequence + 1, info.delivered.stream_sequence);
    let near_floor = floor..=end.min(floor + WINDOW);
    let near_end = (*near_floor.end() + 1).max(end.saturating_sub(WINDOW))..=end;
    let reads = stream::iter(near_floor.chain(near_end)).map(|sequence| ask(client, json!({ "seq": sequence })));
    let mut reads = reads.buffered(READS);
    let (mut readable, mut found) = (Vec::new(), 0);
    let reading = async {
        while let Some(message) = reads.next().await {
            let Ok(Some(raw)) = message else { continue };
            match unreadable(&raw) {
                None => readable.push(raw.sequence),
                Some((message, reason)) => {
                    process.bury(&message, &reason).await?;
                    let run = Run { from: message.stream_sequence, to: message.stream_sequence, mark: None };
                    position::add(&process.pool, attached.reading, &[run]).await?;
                    answer(client, message.stream_sequence, info.delivered.consumer_sequence, "+TERM").await;
                    found += 1;
                }
            }
        }
        Ok::<(), sqlx::Error>(())
    };
    match tokio::time::timeout(TIME_MAX, reading).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = runtime::telemetry::chain(&error), "keeping an unreadable message failed");
            return Err(Fault::DatabaseUnavailable);
        }
    }
    if found > 0 {
        tracing::warn!(found, "messages that the client can't read are dead");
        for sequence in readable {
            answer(client, sequence, info.delivered.consumer_sequence, "-NAK").await;
        }
    }
    Ok(found)
}

/// The message at a sequence, readable or not; none if the stream does not hold it.
pub(super) async fn get(client: &Client, sequence: u64) -> Result<Option<Message>, Fault> {
    Ok(ask(client, json!({ "seq": sequence })).await?.as_ref().and_then(message))
}

/// The first message at a sequence or above it, readable or not.
pub(super) async fn next(client: &Client, sequence: u64) -> Result<Option<Message>, Fault> {
    Ok(ask(client, json!({ "seq": sequence, "next_by_subj": ">" })).await?.as_ref().and_then(message))
}

async fn ask(client: &Client, question: serde_json::Value) -> Result<Option<RawMessage>, Fault> {
    let context = async_nats::jetstream::new(client.clone());
    let answer: Result<Answer, _> = context.request(format!("STREAM.MSG.GET.{}", names::STREAM), &question).await;
    match answer {
        Ok(Answer { message: Some(message), .. }) => Ok(Some(message)),
        Ok(Answer { error: Some(Refusal { err_code }), .. }) if err_code == ErrorCode::NO_MESSAGE_FOUND.0 => Ok(None),
        Ok(_) => Err(Fault::BrokerUnreachable),
        Err(error) => {
            tracing::debug!(%error, "reading a stored message failed");
            Err(Fault::BrokerUnreachable)
        }
    }
}

/// Answers for a message that never arrived here. The broker goes by the sequence; the rest only has to be plausible.
async fn answer(client: &Client, sequence: u64, delivered: u64, kind: &'static str) {
    let subject = format!("$JS.ACK.{}.{}.1.{sequence}.{delivered}.0.0", names::STREAM, names::NOTIFY_DURABLE);
    if let Err(error) = client.publish(subject, Bytes::from_static(kind.as_bytes())).await {
        tracing::warn!(%error, "answering the broker failed; the message will be delivered again");
    }
}

/// The message as it is kept, and why the client can't read it; none if it can.
fn unreadable(raw: &RawMessage) -> Option<(Message, String)> {
    let fault = fault(&STANDARD.decode(raw.headers.as_deref()?).ok()?)?;
    Some((message(raw)?, format!("unreadable headers: {fault}")))
}

/// A message as the stream holds it, with what can be made of its headers.
fn message(raw: &RawMessage) -> Option<Message> {
    let block = STANDARD.decode(raw.headers.as_deref().unwrap_or_default()).ok()?;
    let text = String::from_utf8_lossy(&block);
    let pairs = text.split("\r\n").skip(1).filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_owned(), value.trim().to_owned())
    };
    let is_whole = block.is_empty() || fault(&block).is_none();
    let whole = (!is_whole).then(|| (WHOLE_HEADERS.to_owned(), STANDARD.encode(&block)));
    Some(Message {
        subject: raw.subject.clone(),
        headers: pairs.map(pair).chain(whole).collect(),
        payload: Bytes::from(STANDARD.decode(&raw.payload).ok()?),
        stream_sequence: raw.sequence,
        stored_at: DateTime::from_timestamp_nanos(i64::try_from(raw.time.unix_timestamp_nanos()).ok()?),
        deliveries: 1,
    })
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
    for line in lines.filter(|line| !line.is_empty()) {
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
    fn what_the_client_stumbles_over_is_told() {
        for (block, expected) in [
            (&b"NATS/1.0\r\nce-id: 1\r\nx:y\r\n z\r\n\r\n"[..], None),
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
