//! What has to be true at the end, whatever happened: nothing is lost, nothing is doubled, nothing is out of order.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_nats::jetstream;
use futures::StreamExt;
use schema::names::{MSG_ID_HEADER, STREAM};
use sqlx::MySqlPool;
use stack::testing::{Nats, eventually_within};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until all events are published and have had their effect, and compares tables and stream.
pub(crate) async fn every_event_once_and_in_order(
    orders: &MySqlPool,
    notifications: &MySqlPool,
    nats_url: &str,
    taken: &[String],
) {
    let count = async |pool: &MySqlPool, query: &'static str| {
        sqlx::query_scalar::<_, i64>(query).fetch_one(pool).await.unwrap()
    };
    eventually_within(PATIENCE, "every event is published", async || {
        count(orders, "SELECT COUNT(*) FROM outbox WHERE state <> 'published'").await == 0
    })
    .await;
    assert_eq!(count(orders, "SELECT COUNT(*) FROM outbox WHERE attempts > 0").await, 0, "an outage spent an attempt");
    let events = count(orders, "SELECT COUNT(*) FROM outbox").await;
    eventually_within(PATIENCE, "every event has had its effect", async || {
        count(notifications, "SELECT COUNT(*) FROM inbox").await == events
    })
    .await;
    assert_eq!(count(notifications, "SELECT COUNT(*) FROM notifications").await, events);
    assert_eq!(count(notifications, "SELECT COUNT(*) FROM inbox_dead").await, 0);

    let kept: HashSet<String> =
        sqlx::query_scalar("SELECT id FROM orders_text").fetch_all(orders).await.unwrap().into_iter().collect();
    let lost: Vec<_> = taken.iter().filter(|order| !kept.contains(*order)).collect();
    assert!(lost.is_empty(), "orders that were taken are gone: {lost:?}");
    let notified: HashSet<String> = sqlx::query_scalar("SELECT order_id FROM notifications_text")
        .fetch_all(notifications)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(notified, kept);

    let wanted: HashSet<String> =
        sqlx::query_scalar("SELECT event_id FROM outbox_text").fetch_all(orders).await.unwrap().into_iter().collect();
    let messages = messages(nats_url).await;
    let ids: HashSet<String> = messages.iter().map(|message| message.id.clone()).collect();
    assert_eq!(ids, wanted);
    assert_eq!(ids.len(), messages.len(), "an event is in the stream twice");
    let mut versions: HashMap<String, u32> = HashMap::new();
    for message in messages {
        let last = versions.entry(message.order.clone()).or_default();
        assert_eq!(message.version, *last + 1, "order {} is out of order", message.order);
        *last = message.version;
    }
}

struct Message {
    id: String,
    order: String,
    version: u32,
}

async fn messages(nats_url: &str) -> Vec<Message> {
    let jetstream = jetstream::new(Nats::operator(nats_url).await);
    let mut stream = jetstream.get_stream(STREAM).await.unwrap();
    let count = stream.info().await.unwrap().state.messages;
    let consumer = stream.create_consumer(jetstream::consumer::pull::OrderedConfig::default()).await.unwrap();
    let messages = consumer.messages().await.unwrap().take(count.try_into().unwrap());
    let read = messages.map(|message| {
        let headers = message.unwrap().headers.clone().unwrap();
        let header = |name: &str| headers.get(name).unwrap().to_string();
        Message {
            id: header(MSG_ID_HEADER),
            order: header("ce-subject"),
            version: header("ce-aggregateversion").parse().unwrap(),
        }
    });
    read.collect().await
}
