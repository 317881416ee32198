//! The broker refuses what a relay that was replaced had on its way, and nothing overtakes beside other publishers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Config;
use schema::names::{MSG_ID_HEADER, STREAM};
use stack::testing::{Service, TcpProxy, eventually, eventually_within};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::batch::{append_at_once, events, outgrow_the_stream, stream_of_small_messages, versions_by_order};
use crate::support::{Message, World, metric};

/// A relay that reaches the broker by way of a proxy.
fn by_way_of(world: &World, proxy: &TcpProxy) -> Service {
    world.relay().env("NATS_URL", format!("nats://127.0.0.1:{}", proxy.port()))
}

/// A stream that forgets dedup ids at once.
pub async fn forgetful_stream(world: &World) {
    let config = Config {
        name: STREAM.to_owned(),
        subjects: vec!["order.>".to_owned()],
        duplicate_window: Duration::from_millis(100),
        allow_atomic_publish: true,
        ..Config::default()
    };
    world.jetstream().await.create_stream(config).await.unwrap();
}

/// Waits until the stream has forgotten the ids that it knows now, by messages of an order of its own.
async fn until_ids_are_forgotten(world: &World) {
    let jetstream = world.jetstream().await;
    eventually("the broker has forgotten an id", async || {
        let mut headers = HeaderMap::new();
        headers.insert(MSG_ID_HEADER, "an id of this test");
        let acknowledged = jetstream.publish_with_headers("order.test", headers, "{}".into()).await.unwrap();
        let acknowledged = acknowledged.await.unwrap();
        !acknowledged.duplicate && acknowledged.sequence > 127
    })
    .await;
}

/// The events of the relays among the messages.
pub fn of_orders(messages: Vec<Message>) -> Vec<Message> {
    messages.into_iter().filter(|message| message.headers.get("ce-id").is_some()).collect()
}

pub fn assert_once_and_in_order(messages: &[Message], events: usize) {
    let ids: HashSet<_> = messages.iter().map(|message| message.headers.get("ce-id").unwrap().as_str()).collect();
    assert_eq!((messages.len(), ids.len()), (events, events));
    for (order, versions) in versions_by_order(messages) {
        let expected: Vec<u32> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected, "{order}");
    }
}

/// A relay whose bytes are held back has a batch on its way, is frozen and replaced; its bytes arrive when the broker has
/// forgotten the ids.
async fn bytes_arrive_after_a_takeover(engine: Engine, path: &str) {
    let world = World::new(engine).await;
    forgetful_stream(&world).await;
    let mut proxy = TcpProxy::start(world.nats.port()).await;
    let mut stale = by_way_of(&world, &proxy).env("PUBLISH_PATH", path).start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;

    proxy.pause().await;
    let orders = events(25, 4);
    append_at_once(&world, &orders).await;
    eventually("it has claimed", async || metric(&stale, "relay_claimed_events_total").await == 101.0).await;
    stale.freeze();
    let _successor = world.relay().start().await;
    world.until_all_published().await;
    let fifth: Vec<_> = orders.iter().step_by(4).map(|(order, _)| (*order, 5)).collect();
    append_at_once(&world, &fifth).await;
    world.until_all_published().await;
    until_ids_are_forgotten(&world).await;

    proxy.heal().await;
    stale.thaw();
    eventually("the stale one is done", async || stale.log().contains("lease was lost already")).await;
    assert_once_and_in_order(&of_orders(world.messages().await), 1 + 100 + 25);
    assert_eq!(world.count("published").await, 126);
}

both_engines! {
    async fn what_a_network_held_back_is_refused_when_it_arrives_after_a_takeover(engine: Engine) {
        bytes_arrive_after_a_takeover(engine, "auto").await;
    }

    async fn single_events_that_a_network_held_back_are_refused_when_they_arrive_after_a_takeover(engine: Engine) {
        bytes_arrive_after_a_takeover(engine, "careful").await;
    }

    async fn what_a_cut_off_relay_has_queued_is_not_stored_when_its_line_is_back(engine: Engine) {
        let world = World::new(engine).await;
        forgetful_stream(&world).await;
        let mut proxy = TcpProxy::start(world.nats.port()).await;
        let stale = by_way_of(&world, &proxy).start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        proxy.cut().await;
        let orders = events(25, 4);
        append_at_once(&world, &orders).await;
        eventually("it has claimed", async || metric(&stale, "relay_claimed_events_total").await >= 101.0).await;
        let _successor = world.relay().start().await;
        eventually_within(Duration::from_secs(30), "the successor publishes", async || {
            world.count("pending").await == 0
        }).await;
        let fifth: Vec<_> = orders.iter().step_by(4).map(|(order, _)| (*order, 5)).collect();
        append_at_once(&world, &fifth).await;
        world.until_all_published().await;
        until_ids_are_forgotten(&world).await;
        proxy.heal().await;
        let logged = stale.log().matches("runtime::nats: connected").count();
        eventually("its line is back", async || stale.log().matches("runtime::nats: connected").count() > logged).await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        assert_once_and_in_order(&of_orders(world.messages().await), 1 + 100 + 25 + 1);
    }

    async fn a_row_that_takes_the_place_of_a_published_one_is_published_too(engine: Engine) {
        let world = World::new(engine).await;
        let relay = world.relay().start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        for (batch, path) in [(1, "single"), (40, "batch")] {
            let claimed = metric(&relay, "relay_claimed_events_total").await + f64::from(batch);
            world.nats.freeze();
            let first = append_at_once(&world, &events(batch as usize, 1)).await;
            eventually("it has claimed", async || metric(&relay, "relay_claimed_events_total").await == claimed).await;
            // As on a replica that did not have these yet and was promoted: it gives out the numbers again.
            let renumbered = "UPDATE outbox SET event_id = UNHEX(REPLACE(UUID(), '-', '')), aggregate_id = HEX(event_id)
                              WHERE state = 'pending'";
            sqlx::query(renumbered).execute(&world.pool).await.unwrap();
            let second: Vec<Uuid> = sqlx::query_scalar("SELECT event_id FROM outbox WHERE state = 'pending' ORDER BY seq")
                .fetch_all(&world.pool)
                .await
                .unwrap();
            world.nats.thaw();
            world.until_all_published().await;
            let places: HashMap<_, _> =
                world.messages().await.into_iter().map(|message| (message.msg_id, message.sequence)).collect();
            for event in &second {
                assert_eq!(world.row(*event).await.stream_seq, places.get(&event.to_string()).copied(), "{path}");
            }
            assert!(first.iter().all(|event| places.contains_key(&event.to_string())), "{path}");
        }
    }
}

/// Two events that the broker refuses, and one that it has already, with later ones of their orders on the way behind them.
#[tokio::test]
async fn no_single_event_overtakes_a_refused_one_under_way() {
    let world = World::new(Engine::MySql).await;
    stream_of_small_messages(&world).await;
    let ids = append_at_once(&world, &events(10, 60)).await;
    for refused in [ids[95], ids[400]] {
        outgrow_the_stream(&world, refused).await;
    }
    let relay = world.relay().env("PUBLISH_PATH", "careful").start().await;
    eventually("all others are published", async || world.count("published").await == 600 - 25 - 20).await;
    eventually("the refused ones are dead, and what follows them is held", async || {
        (world.count("dead").await, world.count("held").await) == (2, 24 + 19)
    })
    .await;
    sqlx::query("UPDATE outbox SET state = 'pending' WHERE seq = 202").execute(&world.pool).await.unwrap();
    append_at_once(&world, &events(10, 30)).await;
    world.until_all_published().await;
    assert_once_and_in_order(&world.messages().await, 600 - 25 - 20 + 300);
    assert_eq!(metric(&relay, "relay_pubacks_total{result=\"duplicate\"}").await, 1.0);
}
