//! What the broker takes from a publisher that does nothing else: the limits of the relay's figures.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ContextBuilder, stream};
use async_nats::{Client, HeaderMap};
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;
use uuid::Uuid;

const STREAM: &str = "BARE";
const SUBJECT: &str = "bare.created";
const BATCH: u64 = 1_000;
const IN_FLIGHT: usize = 1_000;

/// Messages per second in atomic batches of a thousand, one after the other.
pub(super) async fn atomic(url: &str, messages: u64) -> anyhow::Result<f64> {
    let (client, context) = connect(url).await?;
    let begin = Instant::now();
    for _ in 0..messages / BATCH {
        let batch = Uuid::now_v7().simple().to_string();
        for number in 1..BATCH {
            client.publish_with_headers(SUBJECT, batch_headers(&batch, number), body().into()).await?;
        }
        let mut headers = batch_headers(&batch, BATCH);
        headers.insert("Nats-Batch-Commit", "1");
        let ack = send(&context, headers).await?.await.context("a bare batch was refused")?;
        if ack.batch_size != Some(BATCH) {
            bail!("the broker does not know atomic batches");
        }
    }
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    forget(&context).await?;
    Ok(rate)
}

/// Messages per second one by one, a thousand in flight.
pub(super) async fn pipelined(url: &str, messages: u64) -> anyhow::Result<f64> {
    let (_, context) = connect(url).await?;
    let begin = Instant::now();
    let publishing = futures::stream::iter(0..messages).map(|_| async {
        let answer = send(&context, headers()).await?;
        anyhow::Ok(answer.await?)
    });
    publishing.buffer_unordered(IN_FLIGHT).try_for_each(async |_| Ok(())).await.context("a bare publish failed")?;
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    forget(&context).await?;
    Ok(rate)
}

async fn connect(url: &str) -> anyhow::Result<(Client, jetstream::Context)> {
    let client = async_nats::connect(url).await?;
    let context =
        ContextBuilder::new().timeout(Duration::from_secs(30)).max_ack_inflight(IN_FLIGHT * 2).build(client.clone());
    let config = stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["bare.>".to_owned()],
        allow_atomic_publish: true,
        ..stream::Config::default()
    };
    context.create_stream(config).await.context("cannot create the bare stream")?;
    Ok((client, context))
}

async fn forget(context: &jetstream::Context) -> anyhow::Result<()> {
    context.delete_stream(STREAM).await.context("cannot delete the bare stream").map(drop)
}

async fn send(context: &jetstream::Context, headers: HeaderMap) -> anyhow::Result<PublishAckFuture> {
    Ok(context.send_publish(SUBJECT, PublishMessage::build().payload(body().into()).headers(headers)).await?)
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", Uuid::now_v7().to_string());
    headers
}

fn batch_headers(batch: &str, number: u64) -> HeaderMap {
    let mut headers = headers();
    headers.insert("Nats-Batch-Id", batch);
    headers.insert("Nats-Batch-Sequence", number.to_string());
    headers
}

/// As large as an event's payload and its envelope.
fn body() -> Vec<u8> {
    vec![b'x'; 480]
}
