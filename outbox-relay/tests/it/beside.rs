//! Others publish to the relay's stream while it attaches and drains: it gets on, and nothing is doubled or overtaken.

use std::process::Stdio;
use std::time::Duration;

use async_nats::HeaderMap;
use futures::StreamExt;
use schema::names::{MSG_ID_HEADER, STREAM};
use stack::testing::{eventually, eventually_within};
use stack::{Engine, both_engines};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::batch::{append_at_once, events};
use crate::fencing::{assert_once_and_in_order, forgetful_stream, of_orders};
use crate::support::{World, metric};

/// How long a drain beside others may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Publishes messages of its own, one after the other, until it is dropped.
async fn publish_for_ever(world: &World) -> JoinHandle<()> {
    let jetstream = world.jetstream().await;
    tokio::spawn(async move {
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(MSG_ID_HEADER, Uuid::now_v7().to_string());
            jetstream.publish_with_headers("order.test", headers, "{}".into()).await.unwrap().await.unwrap();
        }
    })
}

async fn drain_beside_a_foreign_publisher(path: &str) {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().env("PUBLISH_PATH", path).start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    let foreign = publish_for_ever(&world).await;
    // Versions of an order side by side: the second of each would overtake if the first alone were refused.
    append_at_once(&world, &events(300, 5)).await;
    eventually_within(Duration::from_secs(60), "everything is published", async || world.count("pending").await == 0)
        .await;
    foreign.abort();
    assert_once_and_in_order(&of_orders(world.messages().await), 1 + 1_500);
    assert_eq!(metric(&relay, "relay_lease_losses_total").await, 0.0);
}

#[tokio::test]
async fn nothing_overtakes_beside_a_foreign_publisher() {
    drain_beside_a_foreign_publisher("auto").await;
}

#[tokio::test]
async fn no_single_event_overtakes_beside_a_foreign_publisher() {
    drain_beside_a_foreign_publisher("careful").await;
}

/// How much the stream holds.
async fn stored(world: &World) -> u64 {
    world.jetstream().await.get_stream(STREAM).await.unwrap().cached_info().state.messages
}

/// Publishes some 10,000 messages of its own a second, up to eight of them under way at once, until it is dropped.
async fn publish_without_rest(world: &World) -> JoinHandle<()> {
    const RATE: Duration = Duration::from_micros(100);
    let jetstream = world.jetstream().await;
    tokio::spawn(async move {
        // Ticks that come late are made up for.
        let timer = tokio::time::interval(RATE);
        let ticks = futures::stream::unfold(timer, async |mut timer| Some((timer.tick().await, timer)));
        ticks
            .enumerate()
            .map(async |(number, _)| {
                let mut headers = HeaderMap::new();
                headers.insert(MSG_ID_HEADER, format!("foreign {number}"));
                jetstream.publish_with_headers("order.test", headers, "{}".into()).await.unwrap().await.unwrap();
            })
            .buffered(8)
            .for_each(async |()| {})
            .await;
    })
}

async fn attach_beside_a_publisher_without_rest(path: &str) {
    let world = World::new(Engine::MySql).await;
    forgetful_stream(&world).await;
    append_at_once(&world, &events(40, 3)).await;
    let foreign = publish_without_rest(&world).await;
    eventually("it publishes", async || stored(&world).await > 2_000).await;
    let relay = world.relay().env("PUBLISH_PATH", path).start().await;
    eventually_within(PATIENCE, "everything is published", async || world.count("pending").await == 0).await;
    assert!(!foreign.is_finished());
    foreign.abort();
    assert_once_and_in_order(&of_orders(world.messages().await), 120);
    assert_eq!(metric(&relay, "relay_lease_losses_total").await, 0.0);
}

#[tokio::test]
async fn a_fresh_attach_publishes_beside_a_foreign_publisher_that_never_rests() {
    attach_beside_a_publisher_without_rest("auto").await;
}

#[tokio::test]
async fn a_fresh_attach_publishes_single_events_beside_a_foreign_publisher_that_never_rests() {
    attach_beside_a_publisher_without_rest("careful").await;
}

/// Appends orders of five events each, some thousands of events a statement.
async fn append_orders(world: &World, orders: usize) {
    for _ in 0..orders / 1_000 {
        append_at_once(world, &events(1_000, 5)).await;
    }
}

/// The relay's events and those of a replay of as many.
#[tokio::test]
async fn a_replay_beside_a_drain_costs_it_no_event_and_no_order() {
    /// ORDERS_REPLAYED=20000 makes it a replay of 100,000 events, for which a debug build on a busy machine takes too long here.
    const ORDERS_REPLAYED: usize = 4_000;
    let orders = std::env::var("ORDERS_REPLAYED").map_or(ORDERS_REPLAYED, |orders| orders.parse().unwrap());
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().start().await;
    append_orders(&world, orders).await;
    let drained = async || world.count("pending").await == 0;
    eventually_within(PATIENCE, "all is drained", &drained).await;
    let begin = std::time::Instant::now();
    let replay = world.command(&["event", "replay", "--since", "1h"]).stdout(Stdio::piped()).spawn().unwrap();
    append_orders(&world, orders).await;
    eventually_within(PATIENCE, "all is drained beside it", &drained).await;
    println!("drained {} beside the replay after {:?}", orders * 5, begin.elapsed());
    let replayed = tokio::task::spawn_blocking(|| replay.wait_with_output()).await.unwrap().unwrap();
    assert!(replayed.status.success());
    println!("replayed after {:?}: {}", begin.elapsed(), String::from_utf8_lossy(&replayed.stdout));
    let (replayed, published): (Vec<_>, Vec<_>) =
        of_orders(world.messages().await).into_iter().partition(|message| message.msg_id.contains(".r"));
    assert_once_and_in_order(&published, 2 * orders * 5);
    assert!(replayed.len() >= orders * 5, "{}", replayed.len());
    assert_eq!(metric(&relay, "relay_lease_losses_total").await, 0.0);
}

both_engines! {
    /// Behind the strangers' messages stands what a relay left that died between PubAck and settle.
    async fn what_was_not_settled_is_found_behind_any_number_of_foreign_messages(engine: Engine) {
        const FOREIGN: u32 = 20_000;
        let world = World::new(engine).await;
        forgetful_stream(&world).await;
        let mut relay = world.relay().start().await;
        append_at_once(&world, &events(10, 3)).await;
        world.until_all_published().await;
        assert!(relay.terminate().await.success());
        let client = async_nats::connect(world.nats.url()).await.unwrap();
        for _ in 0..FOREIGN {
            client.publish("order.test", "{}".into()).await.unwrap();
        }
        client.flush().await.unwrap();
        eventually("the strangers' are stored", async || stored(&world).await == u64::from(FOREIGN) + 30).await;
        relay.restart().await;
        append_at_once(&world, &events(10, 3)).await;
        world.until_all_published().await;
        relay.kill().await;
        // As if it had died before it settled.
        let unsettled = "UPDATE outbox SET state = 'pending', stream_seq = 0 WHERE seq > 30";
        sqlx::query(unsettled).execute(&world.pool).await.unwrap();
        relay.restart().await;
        world.until_all_published().await;
        assert_eq!(metric(&relay, "relay_recovered_events_total").await, 30.0);
        assert_eq!(stored(&world).await, u64::from(FOREIGN) + 60);
        assert!(relay.log().contains("reading what others stored"));
    }
}
