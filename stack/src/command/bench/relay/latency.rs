//! From an order's commit to its event's PubAck, at a hundred orders a second with wake hints.
//!
//! Measured with what the table says: `published_at` is the database's clock when the settle began, a little after the
//! PubAck; database and client are on one machine, so their clocks are one.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use schema::names::ORDERS_WAKE_SUBJECT;
use sqlx::MySqlPool;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::{drain, outbox};
use crate::command::rig::Rig;

const PERIOD: Duration = Duration::from_millis(10);
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

/// The times in milliseconds, in ascending order. The first second is left out: the relay is starting.
pub(super) async fn commit_to_puback(rig: &Rig, pool: &MySqlPool, seconds: u64) -> anyhow::Result<Vec<f64>> {
    let client = async_nats::connect(rig.nats.url()).await?;
    let relay = drain::start_relay(rig, &[])?;
    append(pool, &client).await?;
    until_published(pool).await.with_context(|| relay.last_words())?;

    let mut committed: HashMap<Uuid, DateTime<Utc>> = HashMap::new();
    let mut timer = interval(PERIOD);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..seconds * 100 {
        timer.tick().await;
        let (event, at) = append(pool, &client).await?;
        committed.insert(event, at);
    }
    until_published(pool).await?;
    let published: Vec<(Uuid, DateTime<Utc>)> =
        sqlx::query_as("SELECT event_id, published_at FROM outbox WHERE state = 'published'").fetch_all(pool).await?;
    let milliseconds = |(event, at): (Uuid, DateTime<Utc>)| {
        let committed = committed.get(&event)?;
        Some((at - *committed).num_microseconds()? as f64 / 1_000.0)
    };
    let mut times: Vec<f64> = published.into_iter().filter_map(milliseconds).collect();
    times.sort_by(f64::total_cmp);
    relay.stop().await?;
    Ok(times)
}

/// One order's event, committed and hinted at as order-svc does; the time of the commit.
async fn append(pool: &MySqlPool, client: &async_nats::Client) -> anyhow::Result<(Uuid, DateTime<Utc>)> {
    let event = Uuid::now_v7();
    sqlx::query(
        r#"INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
           VALUES (?, 'order', ?, 1, 'order.created', 'order.created', '{"product": "Espresso machine", "quantity": 2}')"#,
    )
    .bind(event)
    .bind(Uuid::now_v7())
    .execute(pool)
    .await?;
    let at = Utc::now();
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
