//! From an order's commit to its event's PubAck, at a hundred orders a second with wake hints.
//!
//! The clock starts when the insert is answered, and stops when the PubAck is seen on its way from the broker to the relay.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::jetstream::publish::PublishAck;
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use schema::names::ORDERS_WAKE_SUBJECT;
use sqlx::MySqlPool;
use stack::pipeline::Pipeline;
use stack::service::Program;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::outbox;

const PERIOD: Duration = Duration::from_millis(10);
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

/// Where the broker answers the relay.
const INBOX: &str = "_INBOX.outbox-relay.>";

/// The times in milliseconds, in ascending order. The relay has published one event before.
pub(super) async fn commit_to_puback(pipeline: &Pipeline, pool: &MySqlPool, seconds: u64) -> anyhow::Result<Vec<f64>> {
    let client = async_nats::connect(pipeline.nats.url()).await?;
    let (stop, stopped) = oneshot::channel();
    let listening = tokio::spawn(listen(client.subscribe(INBOX).await?, stopped));
    let mut relay = pipeline.launch(Program::OutboxRelay, &[])?;
    append(pool, &client).await?;
    until_published(pool).await.with_context(|| relay.running.process.last_words())?;

    let mut committed: HashMap<Uuid, Instant> = HashMap::new();
    let mut timer = interval(PERIOD);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..seconds * 100 {
        timer.tick().await;
        let (event, at) = append(pool, &client).await?;
        committed.insert(event, at);
    }
    until_published(pool).await?;
    relay.running.stop().await?;
    drop(stop);
    let pubacks = listening.await?;

    let published: Vec<(Uuid, u64)> = sqlx::query_as("SELECT event_id, stream_seq FROM outbox").fetch_all(pool).await?;
    let mut times = Vec::with_capacity(committed.len());
    for (event, stream_seq) in published {
        let Some(at) = committed.get(&event) else { continue };
        // The PubAck of a batch is that of its last message.
        let (_, puback) = pubacks.range(stream_seq..).next().context("an event has no PubAck")?;
        times.push(puback.saturating_duration_since(*at).as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// When each PubAck came, by its sequence.
async fn listen(inbox: Subscriber, stopped: oneshot::Receiver<()>) -> BTreeMap<u64, Instant> {
    let mut pubacks = BTreeMap::new();
    let mut answers = std::pin::pin!(inbox.take_until(stopped));
    while let Some(answer) = answers.next().await {
        if let Ok(puback) = serde_json::from_slice::<PublishAck>(&answer.payload) {
            pubacks.insert(puback.sequence, Instant::now());
        }
    }
    pubacks
}

/// One order's event, committed and hinted at as order-svc does; the time of the commit.
pub(super) async fn append(pool: &MySqlPool, client: &Client) -> anyhow::Result<(Uuid, Instant)> {
    let event = Uuid::now_v7();
    sqlx::query(
        r#"INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
           VALUES (?, 'order', ?, 1, 'order.created', 'order.created', '{"product": "Espresso machine", "quantity": 2}')"#,
    )
    .bind(event)
    .bind(Uuid::now_v7().to_string())
    .execute(pool)
    .await?;
    let at = Instant::now();
    client.publish(ORDERS_WAKE_SUBJECT, "".into()).await?;
    Ok((event, at))
}

async fn until_published(pool: &MySqlPool) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    while outbox::oldest_pending(pool).await?.is_some() {
        if Instant::now() > deadline {
            bail!("the relay publishes nothing");
        }
        sleep(PERIOD).await;
    }
    Ok(())
}
