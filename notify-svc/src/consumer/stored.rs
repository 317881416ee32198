//! Messages as the stream holds them, without a consumer: asked of the stream's leader one by one.

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageError, Stream};
use async_nats::{Client, jetstream};
use chrono::{DateTime, Utc};
use schema::names;

use super::faults::Fault;
use super::pull::Delivery;
use crate::message::Message;

/// Put on a message by a consumer that brings headers only: how long the body is.
const SIZE_HEADER: &str = "Nats-Msg-Size";

/// A consumer that somebody told to bring headers only brings bodies by this way.
pub(super) async fn complete(stream: &Stream, batch: &mut [Delivery]) -> Result<(), Fault> {
    for message in batch.iter_mut().map(|delivery| &mut delivery.message).filter(|message| is_bodiless(message)) {
        if let Some(whole) = get(stream, message.stream_sequence).await? {
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
pub async fn sequence_since(client: &Client, since: DateTime<Utc>) -> anyhow::Result<u64> {
    let stream = jetstream::new(client.clone()).get_stream(names::STREAM).await?;
    let state = &stream.cached_info().state;
    let (mut low, mut high) = (state.first_sequence, state.last_sequence + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = next(&stream, middle).await.map_err(|fault| anyhow::anyhow!(fault.describe()))?;
        match found.filter(|message| message.stored_at < since) {
            Some(message) => low = message.stream_sequence + 1,
            None => high = middle,
        }
    }
    Ok(low)
}

/// The message at a sequence; none if the stream does not hold it.
pub(super) async fn get(stream: &Stream, sequence: u64) -> Result<Option<Message>, Fault> {
    found(stream.get_raw_message(sequence).await)
}

/// The first message at a sequence or above it.
pub(super) async fn next(stream: &Stream, sequence: u64) -> Result<Option<Message>, Fault> {
    found(stream.get_first_raw_message_by_subject(">", sequence).await)
}

fn found(answer: Result<StreamMessage, RawMessageError>) -> Result<Option<Message>, Fault> {
    match answer {
        Ok(raw) => Ok(Some(message(raw))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => {
            tracing::debug!(%error, "reading a stored message failed");
            Err(Fault::BrokerUnreachable)
        }
    }
}

fn message(raw: StreamMessage) -> Message {
    let headers = raw.headers.iter().flat_map(|(name, values)| {
        values.iter().map(move |value| (AsRef::<str>::as_ref(name).to_owned(), value.as_str().to_owned()))
    });
    Message {
        subject: raw.subject.to_string(),
        headers: headers.collect(),
        payload: raw.payload,
        stream_sequence: raw.sequence,
        stored_at: i64::try_from(raw.time.unix_timestamp_nanos())
            .map(DateTime::from_timestamp_nanos)
            .unwrap_or_default(),
        deliveries: 1,
    }
}
