//! The broker or the database away: events wait, no attempt is spent, nothing needs a restart.

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use runtime::mysql::STATEMENT_TIME_MAX;
use serde_json::Value;
use stack::testing::{MySql, TcpProxy, eventually, eventually_within};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::batch::{append_at_once, events};
use crate::support::{World, metric};

const BROKER_FAILURES: &str = "relay_failures_total{class=\"broker\"}";

/// Since when the status says that the broker takes nothing, with a reason.
fn outage_since(world: &World) -> Option<String> {
    let status: Value = serde_json::from_str(&world.verb(&["status", "--json"]).said).unwrap();
    let relay = &status["relay"];
    assert_eq!(relay["outage"].is_string(), relay["outage_since"].is_string(), "{relay}");
    relay["outage_since"].as_str().map(str::to_owned)
}

both_engines! {
    async fn people_are_told_why_the_broker_takes_nothing_as_long_as_it_does(engine: Engine) {
        let mut world = World::new(engine).await;
        let mut relay = world.relay().start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        assert_eq!(outage_since(&world), None);

        world.nats.kill().await;
        world.append(Uuid::now_v7(), 1).await;
        eventually("the status tells it", async || outage_since(&world).is_some()).await;
        let (since, tried) = (outage_since(&world), metric(&relay, BROKER_FAILURES).await);
        eventually("it is tried again", async || metric(&relay, BROKER_FAILURES).await > tried).await;
        assert_eq!(outage_since(&world), since);
        let said = world.verb(&["status"]).said;
        assert!(said.contains("TAKES NO EVENTS since ") && said.contains(": not connected to NATS"), "{said}");

        world.nats.restart().await;
        world.until_all_published().await;
        eventually("it is over", async || outage_since(&world).is_none()).await;

        world.nats.kill().await;
        world.append(Uuid::now_v7(), 1).await;
        eventually("it is told again", async || outage_since(&world).is_some()).await;
        relay.terminate().await;
        let said = world.verb(&["status"]).said;
        assert!(!said.contains("TAKES NO EVENTS"), "nobody is active who would know: {said}");
        // Whoever takes over has nothing to clear.
        let is_cleared = "SELECT outage IS NULL AND outage_since IS NULL FROM relay_lease";
        assert!(sqlx::query_scalar::<_, bool>(is_cleared).fetch_one(&world.pool).await.unwrap());
    }

    async fn an_outage_that_a_relay_died_in_is_not_told_of_its_successor(engine: Engine) {
        let mut world = World::new(engine).await;
        let mut relay = world.relay().env("PUBLISH_TIMEOUT", "500ms").start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        world.nats.kill().await;
        world.append(Uuid::now_v7(), 1).await;
        eventually("the status tells it", async || outage_since(&world).is_some()).await;
        relay.kill().await;
        eventually("nobody is active who would know", async || outage_since(&world).is_none()).await;

        world.nats.restart().await;
        relay.restart().await;
        world.until_all_published().await;
        assert_eq!(outage_since(&world), None);
    }

    async fn events_wait_while_the_broker_is_away_and_spend_no_attempt(engine: Engine) {
        let mut world = World::new(engine).await;
        world.nats.stop().await;
        let relay = world.relay().start().await;
        let order = Uuid::now_v7();
        let events = [world.append(order, 1).await, world.append(order, 2).await];
        eventually("the relay notices", async || metric(&relay, "relay_paused").await == 1.0).await;

        world.nats.restart().await;
        world.until_all_published().await;
        world.nats.kill().await;
        let later = world.append(order, 3).await;
        eventually("the relay notices again", async || metric(&relay, "relay_paused").await == 1.0).await;
        world.nats.restart().await;
        world.until_all_published().await;

        for event in [events[0], events[1], later] {
            assert_eq!(world.row(event).await.attempts, 0);
        }
        let sequences: Vec<_> = world.messages().await.iter().map(|message| message.sequence).collect();
        assert_eq!(sequences, [1, 2, 3]);
    }

    async fn a_relay_whose_connections_fell_silent_goes_on_by_new_ones(engine: Engine) {
        let world = World::new(engine).await;
        let mut proxy = TcpProxy::start(world.database.port()).await;
        let relay = world.relay_through(&proxy);
        let relay = relay.start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;

        proxy.lose().await;
        world.append(Uuid::now_v7(), 1).await;
        eventually("the relay notices", async || metric(&relay, "relay_paused").await == 1.0).await;
        eventually_within(STATEMENT_TIME_MAX * 2, "it goes on", async || world.count("pending").await == 0).await;
        assert_eq!(world.messages().await.len(), 2);
    }
}

/// The database hears of the outage, and its answer is lost.
#[tokio::test]
async fn an_outage_that_may_have_been_told_is_not_told_when_it_is_over() {
    let mut world = World::new(Engine::MySql).await;
    let mut proxy = TcpProxy::start(world.database.port()).await;
    let relay = world.relay_through(&proxy);
    // The lease outlasts the way of the relay to the broker.
    let relay = relay.env("PUBLISH_TIMEOUT", "500ms").env("LEASE_TIME", "15s").start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;

    let connects = || relay.log().matches("runtime::nats: connected").count();
    eventually("the relay is connected", async || connects() >= 1).await;
    proxy.deafen_at(b"not connected to NATS");
    world.nats.kill().await;
    world.append(Uuid::now_v7(), 1).await;
    eventually("the status tells it", async || outage_since(&world).is_some()).await;
    world.nats.restart().await;
    eventually("the relay is connected again", async || connects() >= 2).await;
    proxy.cut().await;
    proxy.heal().await;
    world.until_all_published().await;
    eventually("it is over", async || outage_since(&world).is_none()).await;
    assert_eq!(world.lease_epoch().await, 1);
}

#[tokio::test]
async fn an_outage_stops_the_single_events_that_are_not_under_way() {
    let world = World::new(Engine::MySql).await;
    let mut proxy = TcpProxy::start(world.nats.port()).await;
    let relay = world.relay().env("NATS_URL", format!("nats://127.0.0.1:{}", proxy.port()));
    let relay = relay.env("PUBLISH_PATH", "careful").env("PUBLISH_TIMEOUT", "500ms");
    // No look at the stream is to notice the outage first.
    let relay = relay.env("WATCH_INTERVAL", "1h").start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;

    proxy.deafen().await;
    append_at_once(&world, &events(1_000, 1)).await;
    eventually("the relay pauses", async || metric(&relay, "relay_paused").await == 1.0).await;
    assert_eq!(world.messages().await.len(), 1 + 512);
    proxy.heal().await;
    world.until_all_published().await;
    assert_eq!(world.messages().await.len(), 1 + 1_000);
}

#[tokio::test]
async fn a_full_stream_pushes_back_into_the_outbox_and_drops_nothing() {
    let world = World::new(Engine::MySql).await;
    let full = Config {
        name: schema::names::STREAM.to_owned(),
        subjects: vec!["order.>".to_owned()],
        discard: DiscardPolicy::New,
        max_messages: 1,
        ..Config::default()
    };
    let jetstream = world.jetstream().await;
    jetstream.create_stream(full.clone()).await.unwrap();
    let relay = world.relay().start().await;
    let (first, second) = (world.append(Uuid::now_v7(), 1).await, world.append(Uuid::now_v7(), 1).await);
    eventually("the relay pauses", async || metric(&relay, "relay_paused").await == 1.0).await;

    jetstream.update_stream(Config { max_messages: -1, ..full }).await.unwrap();
    world.until_all_published().await;
    assert_eq!((world.row(first).await.attempts, world.row(second).await.attempts), (0, 0));
    assert_eq!(world.messages().await.len(), 2);
}

#[tokio::test]
async fn a_database_that_restarts_needs_no_restart_of_the_relay() {
    let mut server = MySql::start(Engine::MySql).await;
    let database = stack::testing::Database::create_on(&server, &schema::database::ORDERS).await;
    let nats = stack::testing::Nats::start().await;
    let mut world = World { pool: database.admin_pool().await, database, nats };
    let relay = world.relay().start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;

    server.kill().await;
    eventually("the relay notices", async || metric(&relay, "relay_failures_total{class=\"database\"}").await > 0.0)
        .await;
    server.restart().await;
    world.pool = world.database.admin_pool().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    assert_eq!(world.messages().await.len(), 2);
}

#[tokio::test]
async fn a_connection_cut_while_events_are_in_flight_stores_each_once() {
    let world = World::new(Engine::MySql).await;
    let mut proxy = TcpProxy::start(world.nats.port()).await;
    let relay = world.relay().env("NATS_URL", format!("nats://127.0.0.1:{}", proxy.port())).start().await;
    let order = Uuid::now_v7();
    for version in 1..=100 {
        world.append(order, version).await;
        if version % 25 == 0 {
            proxy.cut().await;
            eventually("the relay notices", async || metric(&relay, "relay_paused").await == 1.0).await;
            proxy.heal().await;
        }
    }
    world.until_all_published().await;
    let messages = world.messages().await;
    assert_eq!(messages.len(), 100);
    let mut ids: Vec<_> = messages.into_iter().map(|message| message.msg_id).collect();
    let unsorted = ids.clone();
    ids.sort(); // UUIDv7 of one process: in the order of the appends
    assert_eq!(ids, unsorted);
}
