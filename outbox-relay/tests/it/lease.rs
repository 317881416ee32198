//! Of any number of relays one is active, and one that lost the lease changes nothing.

use std::time::Duration;

use stack::testing::{TcpProxy, eventually, eventually_within};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::batch::{append_at_once, events};
use crate::support::{World, metric};

/// Whether the lease has not expired by the database's clock.
async fn is_alive(world: &World) -> bool {
    let is_alive = "SELECT expires_at > UTC_TIMESTAMP(6) FROM relay_lease";
    sqlx::query_scalar(is_alive).fetch_one(&world.pool).await.unwrap()
}

both_engines! {
    async fn a_standby_takes_over_when_the_active_relay_stops_or_dies(engine: Engine) {
        let world = World::new(engine).await;
        let mut first = world.relay().start().await;
        eventually("the first is active", async || metric(&first, "relay_lease_held").await == 1.0).await;
        let mut second = world.relay().start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        assert_eq!(metric(&second, "relay_lease_held").await, 0.0);

        assert!(first.terminate().await.success());
        eventually("the second is active", async || metric(&second, "relay_lease_held").await == 1.0).await;
        let third = world.relay().start().await;
        second.kill().await;
        eventually("the third is active", async || metric(&third, "relay_lease_held").await == 1.0).await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        assert_eq!(world.messages().await.len(), 2);
    }

    async fn a_stop_releases_the_lease(engine: Engine) {
        let world = World::new(engine).await;
        let mut relay = world.relay().start().await;
        eventually("the relay is active", async || world.lease_epoch().await == 1).await;
        assert!(relay.terminate().await.success());
        assert!(world.lease_is_free().await);
        assert_eq!(world.lease_epoch().await, 1);
    }

    async fn a_frozen_relay_that_wakes_up_stands_by(engine: Engine) {
        let world = World::new(engine).await;
        let mut frozen = world.relay().start().await;
        eventually("it is active", async || metric(&frozen, "relay_lease_held").await == 1.0).await;
        frozen.freeze();
        let successor = world.relay().start().await;
        eventually("the successor is active", async || metric(&successor, "relay_lease_held").await == 1.0).await;
        frozen.thaw();
        eventually("the frozen one notices", async || metric(&frozen, "relay_lease_losses_total").await == 1.0).await;
        let order = Uuid::now_v7();
        for version in 1..=10 {
            world.append(order, version).await;
        }
        world.until_all_published().await;
        assert_eq!(world.messages().await.len(), 10);
        assert_eq!(metric(&frozen, "relay_claimed_events_total").await, 0.0);
    }

    async fn a_stale_relay_settles_nothing(engine: Engine) {
        let world = World::new(engine).await;
        let mut proxy = TcpProxy::start(world.database.port()).await;
        let stale = world.relay_through(&proxy);
        let stale = stale.start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;

        // The broker holds its answer back until the relay's way to the database is blocked: the settle gets stuck.
        world.nats.freeze();
        let event = world.append(Uuid::now_v7(), 1).await;
        eventually("it has claimed", async || metric(&stale, "relay_claimed_events_total").await == 2.0).await;
        proxy.pause().await;
        world.nats.thaw();
        eventually("the broker acknowledged", async || {
            metric(&stale, "relay_pubacks_total{result=\"stored\"}").await == 2.0
        }).await;

        let successor = world.relay().start().await;
        world.until_all_published().await;
        assert_eq!(metric(&successor, "relay_recovered_events_total").await, 1.0);
        let settled = world.row(event).await;
        assert_eq!((metric(&stale, "relay_lease_held").await, metric(&stale, "relay_paused").await), (0.0, 1.0));

        proxy.heal().await;
        eventually("the stale relay notices", async || metric(&stale, "relay_stale_settles_total").await == 1.0).await;
        eventually("it stands by", async || metric(&stale, "relay_paused").await == 0.0).await;
        assert_eq!(world.row(event).await, settled);
        assert_eq!(world.messages().await.len(), 2);
    }

    async fn a_relay_that_lost_the_lease_says_nothing_of_the_broker(engine: Engine) {
        let world = World::new(engine).await;
        let mut proxy = TcpProxy::start(world.nats.port()).await;
        let mut stale = world.relay().env("NATS_URL", format!("nats://127.0.0.1:{}", proxy.port())).start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;

        proxy.pause().await;
        world.append(Uuid::now_v7(), 1).await;
        eventually("it has claimed", async || metric(&stale, "relay_claimed_events_total").await == 2.0).await;
        stale.freeze();
        let successor = world.relay().start().await;
        eventually("the successor is active", async || metric(&successor, "relay_lease_held").await == 1.0).await;
        world.until_all_published().await;
        stale.thaw();
        eventually("the stale one is done", async || stale.log().contains("lease was lost already")).await;
        assert!(metric(&stale, "relay_failures_total{class=\"broker\"}").await >= 1.0);
        assert_eq!(world.ask(&["status"])["relay"]["outage"], serde_json::Value::Null);
    }
    async fn an_expiry_far_ahead_keeps_nobody_out_and_one_long_past_lets_nobody_in(engine: Engine) {
        let world = World::new(engine).await;
        let mut first = world.relay().start().await;
        eventually("the first is active", async || metric(&first, "relay_lease_held").await == 1.0).await;
        let second = world.relay().start().await;
        // As after the database's clock was set: by an hour forward, then by two hours back.
        let set = async |change: &str| {
            let set = format!("UPDATE relay_lease SET expires_at = UTC_TIMESTAMP(6) {change}");
            sqlx::query(sqlx::AssertSqlSafe(set)).execute(&world.pool).await.unwrap();
        };
        for _ in 0..3 {
            set("- INTERVAL 1 HOUR").await;
            eventually("the first renews it", async || is_alive(&world).await).await;
        }
        assert_eq!(metric(&first, "relay_lease_losses_total").await, 0.0);
        first.kill().await;
        set("+ INTERVAL 2 HOUR").await;
        let status: serde_json::Value = serde_json::from_str(&world.verb(&["status", "--json"]).said).unwrap();
        assert_eq!(status["relay"]["is_active"], false, "no lease is that long");
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        assert_eq!(metric(&second, "relay_lease_held").await, 1.0);
    }

    async fn a_lease_row_that_is_one_tenure_older_makes_no_second_relay_active(engine: Engine) {
        let world = World::new(engine).await;
        let first = world.relay().start().await;
        eventually("the first is active", async || metric(&first, "relay_lease_held").await == 1.0).await;
        let second = world.relay().start().await;
        // As on a replica that lagged and was promoted: the same number is given out again.
        let older = "UPDATE relay_lease SET holder = NULL, epoch = epoch - 1";
        sqlx::query(older).execute(&world.pool).await.unwrap();
        eventually("the second is active", async || metric(&second, "relay_lease_held").await == 1.0).await;
        assert_eq!(world.lease_epoch().await, 1);
        eventually("the first notices", async || metric(&first, "relay_lease_losses_total").await == 1.0).await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        assert_eq!(metric(&first, "relay_lease_held").await + metric(&second, "relay_lease_held").await, 1.0);
        assert_eq!(world.messages().await.len(), 1);
    }

    async fn a_relay_that_is_cut_off_from_the_broker_is_relieved(engine: Engine) {
        let world = World::new(engine).await;
        let mut proxy = TcpProxy::start(world.nats.port()).await;
        let relay = world.relay().env("NATS_URL", format!("nats://127.0.0.1:{}", proxy.port()));
        let cut_off = relay.start().await;
        eventually("it is active", async || metric(&cut_off, "relay_lease_held").await == 1.0).await;
        let standby = world.relay().start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;

        proxy.pause().await;
        world.append(Uuid::now_v7(), 1).await;
        eventually_within(Duration::from_secs(20), "the standby publishes", async || {
            world.count("pending").await == 0
        }).await;
        assert_eq!(metric(&standby, "relay_lease_held").await, 1.0);
        eventually("the other one stands by", async || metric(&cut_off, "relay_lease_held").await == 0.0).await;
        eventually("nothing is told of an outage", async || {
            world.ask(&["status"])["relay"]["outage"] == serde_json::Value::Null
        }).await;
        assert_eq!(world.messages().await.len(), 2);
    }
}

/// It sleeps while the broker has acknowledged what was under way: there would be room for the others.
#[tokio::test]
async fn a_tenure_that_is_over_publishes_no_further_single_events() {
    let world = World::new(Engine::MySql).await;
    let mut proxy = TcpProxy::start(world.nats.port()).await;
    let stale = world.relay().env("NATS_URL", format!("nats://127.0.0.1:{}", proxy.port()));
    let stale = stale.env("PUBLISH_PATH", "careful").env("PUBLISH_TIMEOUT", "20s").env("WATCH_INTERVAL", "1h");
    let mut stale = stale.env("SHUTDOWN_GRACE", "30s").start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;

    proxy.deafen().await;
    append_at_once(&world, &events(1_000, 1)).await;
    eventually("as many as may be are under way", async || world.messages().await.len() == 1 + 512).await;
    stale.freeze();
    proxy.heal().await;
    let _successor = world.relay().start().await;
    world.until_all_published().await;
    stale.thaw();
    eventually("the stale one notices", async || metric(&stale, "relay_stale_settles_total").await == 1.0).await;
    assert_eq!(metric(&stale, "relay_pubacks_total{result=\"stored\"}").await, 1.0 + 512.0);
    assert_eq!(metric(&stale, "relay_pubacks_total{result=\"duplicate\"}").await, 0.0);
}
