//! What brokers answer when they take nothing: the relay pauses, spends no attempt, and goes on by itself.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream;
use nix::sys::signal::Signal;
use stack::Engine;
use stack::home::Home;
use stack::process::{Launch, Output, Process};
use stack::testing::{Port, Service, eventually, eventually_within};
use uuid::Uuid;

use crate::support::{World, metric};

const JETSTREAM: &str = "jetstream { store_dir: \"STORE\" }\n";

/// A nats-server with a configuration of the test's own.
struct Broker {
    process: Process,
    launch: Launch,
    port: Port,
    config: PathBuf,
    folder: PathBuf,
}

impl Broker {
    async fn start(world: &World, configuration: &str) -> Self {
        let (port, folder) = (Port::reserve(), world.nats.store().parent().unwrap().join("other"));
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("nats.conf");
        let program = Home::find().unwrap().program("nats-server").unwrap();
        let launch = Launch::new("nats", program).arg("--config").arg(&config);
        let launch = launch.output(Output::File(folder.join("nats.log")));
        write(&config, &port, &folder, configuration);
        let mut broker = Self { process: launch.spawn().unwrap(), launch, port, config, folder };
        broker.until_up().await;
        broker
    }

    async fn restart(&mut self, configuration: &str) {
        self.process.kill().await.unwrap();
        write(&self.config, &self.port, &self.folder, configuration);
        self.process = self.launch.spawn().unwrap();
        self.until_up().await;
    }

    /// Has the running server read another configuration.
    fn reload(&self, configuration: &str) {
        write(&self.config, &self.port, &self.folder, configuration);
        self.process.signal(Signal::SIGHUP).unwrap();
    }

    async fn until_up(&mut self) {
        let address = format!("127.0.0.1:{}", self.port.number());
        eventually("the broker listens", async || tokio::net::TcpStream::connect(&address).await.is_ok()).await;
    }

    /// A relay at this broker.
    fn relay(&self, world: &World) -> Service {
        let url = format!("nats://relay:test@127.0.0.1:{}", self.port.number());
        world.relay().env("NATS_URL", url).env("PUBLISH_TIMEOUT", "500ms")
    }
}

fn write(config: &PathBuf, port: &Port, folder: &std::path::Path, configuration: &str) {
    let configuration = configuration.replace("STORE", folder.to_str().unwrap());
    std::fs::write(config, format!("listen: \"127.0.0.1:{}\"\n{configuration}", port.number())).unwrap();
}

async fn pauses(relay: &Service) {
    eventually("the relay pauses", async || metric(relay, "relay_paused").await == 1.0).await;
    let failures = metric(relay, "relay_failures_total{class=\"broker\"}").await;
    eventually("it tries again", async || {
        metric(relay, "relay_failures_total{class=\"broker\"}").await > failures + 1.0
    })
    .await;
}

#[tokio::test]
async fn a_missing_right_to_publish_spends_no_attempt() {
    let world = World::new(Engine::MySql).await;
    let users = |right: &str| {
        format!(
            "{JETSTREAM}authorization {{ users: [ {{ user: relay, password: test, permissions: {{ {right} }} }} ] }}\n"
        )
    };
    let mut broker = Broker::start(&world, &users("publish: { deny: [\"order.>\"] }")).await;
    // Enough for a batch; the probe after the first fault is single.
    for _ in 0..30 {
        world.append(Uuid::now_v7(), 1).await;
    }
    let relay = broker.relay(&world).start().await;
    pauses(&relay).await;
    assert_eq!(world.count("pending").await, 30);
    broker.restart(&users("publish: [\">\"]")).await;
    world.until_all_published().await;
    let spent: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE attempts > 0").fetch_one(&world.pool).await.unwrap();
    assert_eq!(spent, 0);
}

#[tokio::test]
async fn a_broker_without_jetstream_spends_no_attempt() {
    let world = World::new(Engine::MySql).await;
    let mut broker = Broker::start(&world, "").await;
    let event = world.append(Uuid::now_v7(), 1).await;
    let relay = broker.relay(&world).start().await;
    pauses(&relay).await;
    broker.restart(JETSTREAM).await;
    world.until_all_published().await;
    assert_eq!(world.row(event).await.attempts, 0);
}

#[tokio::test]
async fn a_broker_that_hangs_spends_no_attempt_and_stores_each_event_once() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().env("PUBLISH_TIMEOUT", "500ms").start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    world.nats.freeze();
    let events: Vec<_> = futures::future::join_all((0..30).map(|_| world.append(Uuid::now_v7(), 1))).await;
    pauses(&relay).await;
    world.nats.thaw();
    world.until_all_published().await;
    assert_eq!(world.messages().await.len(), 31);
    for event in events {
        assert_eq!(world.row(event).await.attempts, 0);
    }
}

#[tokio::test]
async fn a_stream_that_is_gone_spends_no_attempt() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    let jetstream: jetstream::Context = world.jetstream().await;
    jetstream.delete_stream(schema::names::STREAM).await.unwrap();
    let event = world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    assert_eq!(world.row(event).await.attempts, 0);
    assert!(metric(&relay, "relay_failures_total{class=\"broker\"}").await >= 1.0);
}

#[tokio::test]
async fn a_payload_above_the_brokers_limit_is_dead_and_not_even_read() {
    let world = World::new(Engine::MySql).await;
    for _ in 0..8 {
        sqlx::query(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
             VALUES ('order', UUID(), 'order.created', 'order.created',
                     CONCAT('{\"text\":\"', REPEAT('x', 10000000), '\"}'))",
        )
        .execute(&world.pool)
        .await
        .unwrap();
    }
    let relay = world.relay().start().await;
    eventually("they are dead", async || world.count("dead").await == 8).await;
    let peak = metric(&relay, "process_resident_memory_bytes").await;
    assert!(peak < 64.0 * 1024.0 * 1024.0, "{peak} bytes resident");
}

#[tokio::test]
async fn a_max_payload_that_a_reload_changes_is_asked_for_before_anything_is_dead() {
    let world = World::new(Engine::MySql).await;
    let broker = Broker::start(&world, JETSTREAM).await;
    let _relay = broker.relay(&world).start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    let low = format!("{JETSTREAM}max_payload: 900\n");
    broker.reload(&low);
    append_large(&world, 3, 1_000).await;
    eventually("they wait", async || world.count("held").await == 3).await;
    broker.reload(JETSTREAM);
    eventually_within(Duration::from_secs(60), "they are published", async || world.count("published").await == 4)
        .await;
    assert_eq!(world.count("dead").await, 0);

    // Lowered for good, a single one is dead; raised, a requeue is all that it needs.
    broker.reload(&low);
    append_large(&world, 1, 2_000).await;
    eventually_within(Duration::from_secs(60), "it is dead", async || world.count("dead").await == 1).await;
    broker.reload(JETSTREAM);
    world.ask(&["event", "requeue", "--dead"]);
    eventually("it is published", async || world.count("published").await == 5).await;
}

#[tokio::test]
async fn a_raised_limit_is_asked_for_before_an_event_is_dead_for_its_headers() {
    let world = World::new(Engine::MySql).await;
    let broker = Broker::start(&world, &format!("{JETSTREAM}max_payload: 2000\n")).await;
    let _relay = broker.relay(&world).start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    broker.reload(JETSTREAM);
    // The payload alone is below the limit that the relay was told when it connected.
    let event = Uuid::now_v7();
    let append = "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload, headers)
         VALUES (?, 'order', ?, 'order.created', 'order.created', '{}', JSON_OBJECT('note', REPEAT('x', 3000)))";
    sqlx::query(append).bind(event).bind(Uuid::now_v7().to_string()).execute(&world.pool).await.unwrap();
    eventually_within(Duration::from_secs(60), "it is published or dead", async || {
        ["published", "dead"].contains(&world.row(event).await.state.as_str())
    })
    .await;
    assert_eq!(world.row(event).await.state, "published");
}

#[tokio::test]
async fn an_event_that_waited_for_another_reason_is_not_dead_at_once_for_a_limit() {
    let world = World::new(Engine::MySql).await;
    let broker = Broker::start(&world, &format!("{JETSTREAM}max_payload: 900\n")).await;
    append_large(&world, 1, 1_000).await;
    let waited = "UPDATE outbox SET attempts = 1, next_attempt_at = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE";
    sqlx::query(waited).execute(&world.pool).await.unwrap();
    let _relay = broker.relay(&world).start().await;
    eventually("it is decided on", async || world.count("pending").await == 0).await;
    assert_eq!(world.count("held").await, 1);
    broker.reload(JETSTREAM);
    eventually_within(Duration::from_secs(60), "it is published or dead", async || {
        world.count("published").await + world.count("dead").await == 1
    })
    .await;
    assert_eq!(world.count("published").await, 1);
}

/// Appends events of an order each, with so many bytes of text in each payload.
async fn append_large(world: &World, events: u32, bytes: u32) {
    let append = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
         SELECT 'order', n, 'order.created', 'order.created', CONCAT('{\"text\":\"', REPEAT('x', ?), '\"}')
         FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', ? - 1), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS list";
    sqlx::query(append).bind(bytes).bind(events).execute(&world.pool).await.unwrap();
}

#[tokio::test]
async fn a_backlog_of_large_events_stays_under_64_mib() {
    let world = World::new(Engine::MySql).await;
    append_large(&world, 200, 500_000).await;
    let relay = world.relay().start().await;
    world.until_all_published().await;
    let resident = metric(&relay, "process_resident_memory_bytes").await;
    assert!(resident < 64.0 * 1024.0 * 1024.0, "{resident} bytes resident");
    // Counted, not read: a reader of a hundred megabytes is a test of its own.
    let stream = world.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 200);
}

/// A claim that reads less than it asked for gives its connection up, which a backlog must not do each time.
#[tokio::test]
async fn a_backlog_of_events_that_fill_a_claim_early_keeps_its_connections() {
    let world = World::new(Engine::MySql).await;
    append_large(&world, 4_000, 20_000).await;
    let relay = world.relay().env("LOG_FILTER", "info,outbox_relay=debug").start().await;
    world.until_all_published().await;
    let given_up = relay.log().matches("gives its connection up").count();
    assert!((1..=2).contains(&given_up), "{given_up} connections given up for about 20 claims");
}
