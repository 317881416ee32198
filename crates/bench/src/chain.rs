//! The way of an order with nothing of ours on it: the limit of the latencies.
//!
//! One task does the round trips that the way needs, one after the other: an order's transaction, a wake hint through the
//! broker, a claim, a publish with its PubAck, a delivery, and the transaction of the effect. The settle runs beside the
//! delivery, as the relay's does. Nothing is decoded, read back or watched.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use async_nats::{Client, HeaderMap};
use futures::{Stream, StreamExt};
use sqlx::{AssertSqlSafe, MySqlPool};
use stack::pipeline::Pipeline;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use crate::write::empty;
use crate::{events, order};

const NAME: &str = "CHAIN";
const SUBJECT: &str = "chain.created";
const HINT: &str = "chain-hint";
/// Orders at the beginning that don't count.
const WARM_UP: usize = 100;

/// Milliseconds since the answer to an order's COMMIT, each in ascending order.
pub(super) struct Times {
    pub(super) to_puback: Vec<f64>,
    pub(super) to_effect: Vec<f64>,
}

/// Sends orders all the way at a steady rate.
pub(super) async fn measure(
    pipeline: &Pipeline,
    orders: &MySqlPool,
    notifications: &MySqlPool,
    count: usize,
    rate: u32,
) -> anyhow::Result<Times> {
    let client = async_nats::connect(pipeline.nats.url()).await.context("cannot connect to NATS")?;
    let jetstream = jetstream::new(client.clone());
    let config =
        stream::Config { name: NAME.to_owned(), subjects: vec![SUBJECT.to_owned()], ..stream::Config::default() };
    let stream = jetstream.create_stream(config).await.context("cannot make a stream")?;
    let consumer = pull::Config { ack_policy: AckPolicy::Explicit, ..pull::Config::default() };
    let mut chain = Chain {
        hints: client.subscribe(HINT).await?,
        messages: stream.create_consumer(consumer).await?.messages().await?,
        client,
        jetstream: jetstream.clone(),
        orders: orders.clone(),
        notifications: notifications.clone(),
    };
    let mut times = Times { to_puback: Vec::new(), to_effect: Vec::new() };
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..WARM_UP + count {
        ticks.tick().await;
        let (puback, effect) = chain.order(number).await?;
        if number >= WARM_UP {
            times.to_puback.push(puback.as_secs_f64() * 1_000.0);
            times.to_effect.push(effect.as_secs_f64() * 1_000.0);
        }
    }
    jetstream.delete_stream(NAME).await?;
    empty(orders).await?; // a relay does not begin on an outbox with events that no relay published
    times.to_puback.sort_by(f64::total_cmp);
    times.to_effect.sort_by(f64::total_cmp);
    Ok(times)
}

struct Chain<M> {
    client: Client,
    jetstream: jetstream::Context,
    orders: MySqlPool,
    notifications: MySqlPool,
    hints: async_nats::Subscriber,
    messages: M,
}

impl<M, E> Chain<M>
where
    M: Stream<Item = Result<jetstream::Message, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    /// One order; how long after its commit it was acknowledged by the broker, and its effect by the database.
    async fn order(&mut self, number: usize) -> anyhow::Result<(Duration, Duration)> {
        let event_id = Uuid::now_v7();
        let seq = order::place(&self.orders, Uuid::now_v7(), event_id, PAYLOAD).await?;
        let committed = Instant::now();
        self.client.publish(HINT, "".into()).await?;
        self.hints.next().await.context("NATS closed the connection")?;
        let claim = "SELECT event_id, subject, payload FROM outbox WHERE seq = ?";
        sqlx::query(claim).bind(seq).fetch_one(&self.orders).await?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", event_id.to_string());
        self.jetstream.publish_with_headers(SUBJECT, headers, PAYLOAD.into()).await?.await?;
        let puback = committed.elapsed();
        let settle = async {
            let settle = "UPDATE outbox SET state = 'published', published_at = UTC_TIMESTAMP(6) WHERE seq = ?";
            anyhow::Ok(sqlx::query(settle).bind(seq).execute(&self.orders).await?)
        };
        let effect = async {
            let message = self.messages.next().await.context("the messages ended")??;
            let mut tx = self.notifications.begin().await?;
            for statement in events::statements(&events::make(1), number) {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            let effect = committed.elapsed();
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
            anyhow::Ok(effect)
        };
        let (effect, _) = tokio::try_join!(effect, settle)?;
        Ok((puback, effect))
    }
}

const PAYLOAD: &str = r#"{"product": "Espresso machine", "quantity": 2}"#;
