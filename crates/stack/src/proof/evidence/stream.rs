//! The messages of a stream that is at rest.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::{self, stream::Stream};
use futures::StreamExt;
use schema::envelope::Envelope;
use tokio::time::timeout;
use uuid::Uuid;

use super::Message;

/// No message of a stream that is at rest takes longer.
const NEXT_WITHIN: Duration = Duration::from_secs(20);

/// All of them; those that can't be read are told in `unreadable`.
pub(super) async fn read(
    nats: &async_nats::Client,
    name: &str,
    unreadable: &mut Vec<String>,
) -> anyhow::Result<Vec<Message>> {
    let found = read_all(nats, name, unreadable).await;
    found.with_context(|| format!("cannot read the stream {name}"))
}

async fn read_all(nats: &async_nats::Client, name: &str, unreadable: &mut Vec<String>) -> anyhow::Result<Vec<Message>> {
    let stream = jetstream::new(nats.clone()).get_stream(name).await?;
    let mut found = Vec::new();
    if stream.cached_info().state.messages == 0 {
        return Ok(found);
    }
    let last = stream.cached_info().state.last_sequence;
    let mut messages = reader(&stream).await?;
    loop {
        let message = timeout(NEXT_WITHIN, messages.next()).await.context("no message came")?;
        let message = message.context("the stream's reader ended")??;
        let place = message.info().map_err(anyhow::Error::from_boxed)?;
        let (sequence, pending) = (place.stream_sequence, place.pending);
        match read_one(&message, sequence) {
            Ok(message) => found.push(message),
            Err(error) => unreadable.push(format!("message {sequence} of {name} can't be read: {error:#}")),
        }
        if sequence >= last || pending == 0 {
            return Ok(found);
        }
    }
}

async fn reader(stream: &Stream) -> anyhow::Result<jetstream::consumer::pull::Ordered> {
    // Whoever may create nameless consumers may change those of others: the operator may not.
    let name = Some(format!("proof-{}", Uuid::now_v7().simple()));
    let consumer = stream.create_consumer(OrderedConfig { name, ..OrderedConfig::default() }).await?;
    Ok(consumer.messages().await?)
}

fn read_one(message: &jetstream::Message, sequence: u64) -> anyhow::Result<Message> {
    let headers = message.headers.as_ref().context("it has no headers")?;
    let header = |name| headers.get(name).map(async_nats::HeaderValue::as_str);
    Ok(Message {
        sequence,
        subject: message.subject.to_string(),
        envelope: Envelope::from_headers(header)?,
        payload: serde_json::from_slice(&message.payload)?,
    })
}
