//! `bench latency`: from an order's commit to the commit of its effect, at a steady rate.
//!
//! The order transaction is the benchmark's own, so that its moment is known: the clock starts when COMMIT is answered, and
//! stops when notify-svc's acknowledgement, which follows its commit, is seen on its way to the broker. The relay and
//! notify-svc are release builds of the real ones, and the broker syncs each message. The limit is the same way with
//! nothing of ours on it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use schema::event::{OrderCreated, OrderEvent, SCHEMA_VERSION};
use schema::ids::{EventId, OrderId};
use schema::names;
use sqlx::MySqlPool;
use stack::Engine;
use stack::home::Home;
use stack::pipeline::Pipeline;
use stack::service::Program;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::basket::Basket;
use crate::figure::{Figure, percentile};
use crate::{chain, order};

const WITHIN: Duration = Duration::from_secs(30);
/// Orders at the beginning that don't count: connections open, plans and caches fill.
const WARM_UP: usize = 200;

/// Milliseconds from the commit of an order to the commit of its effect, against the same way without our programs.
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    #[serde(skip)]
    pub(crate) db: Engine,
    /// Orders a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Orders that count.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..))]
    orders: u32,
}

/// Measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let pipeline = Pipeline::start(home, arguments.db, true).await?;
    let orders = pipeline.database(Program::OrderSvc).await?;
    let notifications = pipeline.database(Program::NotifySvc).await?;
    let count = usize::try_from(arguments.orders)?;
    let limit = chain::measure(&pipeline, &orders, &notifications, count, arguments.rate).await?.to_effect;
    let client = async_nats::connect(pipeline.nats.url()).await.context("cannot connect to NATS")?;
    let mut acknowledgements = client.subscribe(format!("$JS.ACK.{}.>", names::STREAM)).await?;

    let _relay = pipeline.service(Program::OutboxRelay, &[]).await?;
    let _notify_svc = pipeline.service(Program::NotifySvc, &[("EMAIL_TRANSPORT", "log")]).await?;

    let count = WARM_UP + count;
    let placing = tokio::spawn(place_all(orders.clone(), client, count, arguments.rate));
    let mut seen = HashMap::new();
    while seen.len() < count {
        let acknowledgement = timeout(WITHIN, acknowledgements.next()).await.context("an order had no effect")?;
        let acknowledgement = acknowledgement.context("NATS closed the connection")?;
        if acknowledgement.payload.starts_with(b"+ACK") {
            let sequence = acknowledgement.subject.rsplit('.').nth(3).and_then(|token| token.parse::<u64>().ok());
            seen.insert(sequence.context("an acknowledgement names no message")?, Instant::now());
        }
    }
    let committed = placing.await??;
    figures(&orders, &committed, &seen, &limit).await
}

async fn figures(
    orders: &MySqlPool,
    committed: &[(EventId, Instant)],
    seen: &HashMap<u64, Instant>,
    limit: &[f64],
) -> anyhow::Result<Vec<Figure>> {
    let rows: Vec<(EventId, Option<u64>)> =
        sqlx::query_as("SELECT event_id, stream_seq FROM outbox").fetch_all(orders).await?;
    let sequences: HashMap<_, _> = rows.into_iter().collect();
    let mut times = Vec::new();
    for (event_id, start) in &committed[WARM_UP..] {
        let sequence = sequences.get(event_id).copied().flatten().context("an event was not settled")?;
        let end = seen.get(&sequence).context("an effect was not acknowledged")?;
        times.push(end.saturating_duration_since(*start).as_secs_f64() * 1000.0);
    }
    if times.is_empty() {
        bail!("nothing was measured");
    }
    times.sort_by(f64::total_cmp);
    let figure = |name, percent| Figure::against(name, percentile(&times, percent), "ms", percentile(limit, percent));
    Ok(vec![
        figure("commit_to_effect_p50", 50),
        figure("commit_to_effect_p99", 99),
        Figure::alone("commit_to_effect_max", times[times.len() - 1], "ms"),
    ])
}

/// Places orders at a steady rate, whether or not earlier ones are done; their events and when each began to commit.
async fn place_all(
    pool: MySqlPool,
    client: async_nats::Client,
    count: usize,
    rate: u32,
) -> anyhow::Result<Vec<(EventId, Instant)>> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut placing = JoinSet::new();
    for number in 0..count {
        ticks.tick().await;
        let (pool, client) = (pool.clone(), client.clone());
        placing.spawn(async move { anyhow::Ok((number, place(&pool, &client).await?)) });
    }
    let mut placed = placing.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    placed.sort_by_key(|(number, _)| *number);
    Ok(placed.into_iter().map(|(_, placed)| placed).collect())
}

/// The statements of order-svc, and its wake hint.
async fn place(pool: &MySqlPool, client: &async_nats::Client) -> anyhow::Result<(EventId, Instant)> {
    let (order_id, event_id) = (OrderId::generate(), EventId::generate());
    let Basket { product, .. } = Basket::random();
    let event = OrderEvent::Created(OrderCreated {
        schema_version: SCHEMA_VERSION,
        order_id,
        product,
        quantity: 2,
        placed_at: chrono::Utc::now(),
    });
    order::place(pool, order_id.0, event_id.0, &event.payload()?).await?;
    let start = Instant::now();
    client.publish(names::ORDERS_WAKE_SUBJECT, Vec::new().into()).await?;
    client.flush().await?;
    Ok((event_id, start))
}
