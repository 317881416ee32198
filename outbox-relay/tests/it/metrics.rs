//! The names and labels of /metrics are an interface: dashboards and alerts rely on them. And what they say is true in an outage.

use stack::testing::{TcpProxy, assert_series, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, metric};
use crate::terms::edit;

const DEAD: &str = "outbox_events{state=\"dead\"}";
const SAMPLED_AT: &str = "outbox_sampled_timestamp_seconds";

#[tokio::test]
async fn metrics_keep_their_names_and_labels() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().start().await;
    let text = reqwest::get(relay.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    assert_series(&text, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/metrics.txt"));
}

both_engines! {
    async fn a_relay_that_stands_by_shows_the_outbox_and_its_lease_and_how_old_that_is(engine: Engine) {
        let world = World::new(engine).await;
        let active = world.relay().start().await;
        eventually("it is active", async || metric(&active, "relay_lease_held").await == 1.0).await;
        world.append(Uuid::now_v7(), 0).await; // no version 0 can be published
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        let mut proxy = TcpProxy::start(world.database.port()).await;
        let standby = world.relay_through(&proxy).start().await;
        for relay in [&active, &standby] {
            eventually("it shows the dead event", async || metric(relay, DEAD).await == 1.0).await;
            eventually("it shows the proof", async || metric(relay, "stream_proven_age_seconds").await > 0.0).await;
            assert_eq!(metric(relay, "outbox_events{state=\"pending\"}").await, 0.0);
            assert!(metric(relay, "outbox_oldest_age_seconds{state=\"dead\"}").await > 0.0);
            assert_eq!(metric(relay, "relay_lease_taken").await, 1.0);
            assert_eq!(metric(relay, "relay_lease_outage").await, 0.0);
            assert_eq!(metric(relay, "relay_lease_epoch").await, world.lease_epoch().await as f64);
            assert_eq!(metric(relay, "nats_up").await, 1.0);
        }
        assert_eq!(metric(&standby, "relay_lease_held").await, 0.0);
        assert!(metric(&active, "relay_last_published_timestamp_seconds").await > 0.0);

        proxy.cut().await;
        eventually("it can't sample", async || standby.log().contains("can't sample the outbox")).await;
        let sampled_at = metric(&standby, SAMPLED_AT).await;
        eventually("the other one can", async || metric(&active, SAMPLED_AT).await > sampled_at + 1.0).await;
        assert_eq!((metric(&standby, SAMPLED_AT).await, metric(&standby, DEAD).await), (sampled_at, 1.0));
    }
}

#[tokio::test]
async fn an_event_is_counted_by_what_became_of_it_each_time_that_it_is_given_to_the_broker() {
    let mut world = World::new(Engine::MySql).await;
    let relay = world.relay().env("PUBLISH_TIMEOUT", "500ms").env("WATCH_INTERVAL", "1h").start().await;
    let counted =
        async |outcome: &str| metric(&relay, &format!("relay_publishes_total{{outcome=\"{outcome}\"}}")).await;
    let until = async |outcome: &str| eventually(outcome, async || counted(outcome).await >= 1.0).await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    until("stored").await;
    assert_eq!((counted("duplicate").await, counted("refused").await), (0.0, 0.0));

    sqlx::query("UPDATE outbox SET state = 'pending' WHERE seq = 1").execute(&world.pool).await.unwrap();
    until("duplicate").await;
    world.until_all_published().await;

    let other = async_nats::connect(world.nats.url()).await.unwrap();
    async_nats::jetstream::new(other).publish("order.test", "{}".into()).await.unwrap().await.unwrap();
    world.append(Uuid::now_v7(), 1).await;
    until("fenced").await;
    world.until_all_published().await;

    world.nats.freeze();
    world.append(Uuid::now_v7(), 1).await;
    until("timeout").await;
    assert_eq!(counted("no_connection").await, 0.0);
    world.nats.thaw();
    world.until_all_published().await;

    world.nats.kill().await;
    world.append(Uuid::now_v7(), 1).await;
    until("no_connection").await;
    eventually("it says so", async || metric(&relay, "nats_up").await == 0.0).await;
    world.nats.restart().await;
    world.until_all_published().await;
    eventually("it has connected again", async || metric(&relay, "nats_connects_total").await >= 2.0).await;

    edit(&world, |config| config.max_message_size = 10).await;
    world.append(Uuid::now_v7(), 1).await;
    until("refused").await;
}
