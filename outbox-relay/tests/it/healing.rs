//! The broker loses what it acknowledged. kill -9 of nats-server loses nothing, because the operating system has it; so
//! its store is put back to what it was, removed, or emptied by its own means.

use std::collections::HashMap;
use std::fs;

use async_nats::jetstream::stream::Config;
use schema::names::STREAM;
use stack::testing::{Service, copy_folder, eventually};
use stack::{Engine, both_engines};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{World, metric};

impl World {
    pub fn watchful(&self) -> Service {
        self.relay().env("WATCH_INTERVAL", "100ms")
    }

    /// The first event of so many orders, published.
    pub async fn published(&self, events: usize) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for _ in 0..events {
            ids.push(self.append(Uuid::now_v7(), 1).await);
        }
        self.until_all_published().await;
        ids
    }

    /// The broker's store as it is now.
    pub async fn store(&mut self) -> TempDir {
        let store = tempfile::tempdir().unwrap();
        self.nats.stop().await;
        copy_folder(&self.nats.store(), store.path());
        self.nats.restart().await;
        store
    }

    /// Puts the broker's store back to what it was; without one, removes it.
    pub async fn rewind(&mut self, to: Option<&TempDir>) {
        self.nats.stop().await;
        fs::remove_dir_all(self.nats.store()).unwrap();
        if let Some(to) = to {
            copy_folder(to.path(), &self.nats.store());
        }
        self.nats.restart().await;
    }

    pub async fn until_healed(&self, events: u64) {
        eventually("the relay has noticed", async || self.healed().await == events).await;
        self.until_all_published().await;
    }

    /// How many events the relay found lost.
    pub async fn healed(&self) -> u64 {
        sqlx::query_scalar("SELECT healed FROM relay_stream").fetch_one(&self.pool).await.unwrap()
    }

    pub async fn proven_seq(&self) -> u64 {
        sqlx::query_scalar("SELECT proven_seq FROM relay_stream").fetch_one(&self.pool).await.unwrap()
    }

    /// Each event of the outbox that a relay published stands in the stream where the outbox says, and nowhere else; these under a fresh id.
    pub async fn is_whole(&self, healed: &[Uuid]) {
        let messages = self.messages().await;
        let mut copies: HashMap<String, Vec<(u64, String)>> = HashMap::new();
        for message in &messages {
            let event = message.headers.get("ce-id").map(ToString::to_string);
            copies.entry(event.unwrap_or_default()).or_default().push((message.sequence, message.msg_id.clone()));
        }
        let rows: Vec<(Uuid, u64, u32)> =
            sqlx::query_as("SELECT event_id, stream_seq, heal_epoch FROM outbox WHERE stream_seq > 0 ORDER BY seq")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        for (event, stream_seq, heal_epoch) in rows {
            let is_healed = healed.contains(&event);
            assert_eq!(heal_epoch, u32::from(is_healed), "{event}");
            let msg_id = if is_healed { format!("{event}.h1") } else { event.to_string() };
            assert_eq!(copies[&event.to_string()], [(stream_seq, msg_id)]);
        }
    }

    /// The versions of an order, as they stand in the stream.
    pub async fn versions(&self, order: Uuid) -> Vec<String> {
        let messages = self.messages().await;
        let of_order = messages.iter().filter(|message| {
            message.headers.get("ce-subject").is_some_and(|subject| subject.as_str() == order.to_string())
        });
        of_order.map(|message| message.headers.get("ce-aggregateversion").unwrap().to_string()).collect()
    }

    /// A stream that lets people delete messages and purge it.
    pub async fn open_stream(&self, config: Config) -> async_nats::jetstream::stream::Stream {
        let config = Config { name: STREAM.to_owned(), subjects: vec!["order.>".to_owned()], ..config };
        self.jetstream().await.create_stream(config).await.unwrap()
    }
}

both_engines! {
    async fn what_a_rewound_stream_lost_is_published_again_under_fresh_ids_and_in_order(engine: Engine) {
        let mut world = World::new(engine).await;
        let relay = world.watchful().start().await;
        let order = Uuid::now_v7();
        world.append(order, 1).await;
        world.published(5).await;
        let earlier = world.store().await;
        let mut lost = vec![world.append(order, 2).await];
        lost.extend(world.published(40).await);
        lost.push(world.append(order, 3).await);
        world.until_all_published().await;

        world.rewind(Some(&earlier)).await;
        world.until_healed(42).await;
        world.append(order, 4).await;
        world.until_all_published().await;
        world.is_whole(&lost).await;
        assert_eq!(world.versions(order).await, ["1", "2", "3", "4"]);
        assert_eq!(metric(&relay, "relay_healed_events_total").await, 42.0);
        assert_eq!(metric(&relay, "relay_losses_total{sign=\"last_seq\"}").await, 1.0);
        let answer = world.verb(&["status", "--json"]);
        assert_eq!(answer.code, Some(4), "a loss counts until what was published again is proven: {answer:?}");
        let status = answer.shown();
        assert_eq!((&status["stream"]["healed"], &status["stream"]["lost_sign"]), (&42.into(), &"last_seq".into()));
        let said = world.verb(&["status"]).said;
        assert!(said.contains("42 events were published again"), "{said}");
    }

    async fn a_stream_that_was_only_cut_off_gets_back_its_end_and_nothing_else(engine: Engine) {
        let mut world = World::new(engine).await;
        let relay = world.watchful().env("PROOF_HORIZON", "0s").start().await;
        world.published(5).await;
        eventually("all of it is proven", async || world.proven_seq().await == 5).await;
        let earlier = world.store().await;
        let lost = world.published(10).await;
        eventually("all of it is proven", async || world.proven_seq().await == 15).await;
        world.rewind(Some(&earlier)).await;
        world.until_healed(10).await;
        world.is_whole(&lost).await;
        assert_eq!(world.messages().await.len(), 15);
        assert!(metric(&relay, "relay_deep_checks_total{sign=\"last_seq\"}").await >= 1.0);
    }

    async fn a_stream_that_vanished_with_its_store_gets_all_that_the_outbox_has(engine: Engine) {
        let mut world = World::new(engine).await;
        let _relay = world.watchful().env("PROOF_HORIZON", "0s").start().await;
        let lost = world.published(30).await;
        eventually("all of it is proven", async || world.proven_seq().await == 30).await;
        world.rewind(None).await;
        world.until_healed(30).await;
        world.published(3).await;
        world.is_whole(&lost).await;
        eventually("the new stream is proven", async || world.proven_seq().await == 33).await;
    }

    async fn a_stream_that_was_deleted_is_made_again_and_filled(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.watchful().start().await;
        let lost = world.published(30).await;
        world.jetstream().await.delete_stream(STREAM).await.unwrap();
        world.until_healed(30).await;
        world.is_whole(&lost).await;
    }

    async fn nothing_is_purged_before_it_is_proven(engine: Engine) {
        let mut world = World::new(engine).await;
        let mut relay = world.watchful().env("RETENTION", "10m").env("PROOF_HORIZON", "10m").start().await;
        world.published(5).await;
        let age = "UPDATE outbox SET published_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY";
        sqlx::query(age).execute(&world.pool).await.unwrap();
        assert_eq!(world.ask(&["event", "purge", "--older-than", "1h"])["events"], 0);
        // What an old event lost is there to be published again.
        world.rewind(None).await;
        world.until_healed(5).await;
        sqlx::query(age).execute(&world.pool).await.unwrap();
        assert_eq!(world.ask(&["event", "purge", "--older-than", "1h"])["events"], 0);

        relay.kill().await;
        let mut relay = relay.env("PROOF_HORIZON", "0s");
        relay.restart().await;
        eventually("proven and old is purged", async || world.count("published").await == 0).await;
    }

    async fn a_healthy_stream_is_never_healed(engine: Engine) {
        let mut world = World::new(engine).await;
        let mut first = world.watchful().env("PROOF_HORIZON", "300ms").start().await;
        eventually("the first is active", async || metric(&first, "relay_lease_held").await == 1.0).await;
        let second = world.watchful().env("PROOF_HORIZON", "300ms").start().await;
        for round in 0..6 {
            for _ in 0..50 {
                world.append(Uuid::now_v7(), 1).await;
            }
            match round {
                0 => drop(world.ask(&["event", "replay", "--since", "1h"])),
                1 => {
                    let dead = world.append(Uuid::now_v7(), 1).await;
                    let spoil = "UPDATE outbox SET state = 'dead' WHERE event_id = ?";
                    sqlx::query(spoil).bind(dead).execute(&world.pool).await.unwrap();
                    world.ask(&["event", "discard", &dead.to_string(), "--reason", "a test"]);
                }
                2 => { world.nats.kill().await; world.nats.restart().await }
                3 => first.kill().await,
                4 => { world.nats.stop().await; world.nats.restart().await }
                _ => {}
            }
        }
        world.until_all_published().await;
        let last = world.messages().await.last().unwrap().sequence;
        eventually("all of it is proven", async || world.proven_seq().await == last).await;
        assert_eq!(world.healed().await, 0);
        assert!(metric(&second, "relay_deep_checks_total{sign=\"server\"}").await >= 1.0);
        let healed: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE heal_epoch > 0")
            .fetch_one(&world.pool).await.unwrap();
        assert_eq!(healed, 0);
    }
}

both_engines! {
    async fn what_was_proven_and_rots_away_in_the_store_is_published_again(engine: Engine) {
        let mut world = World::new(engine).await;
        let relay = world.watchful().env("PROOF_HORIZON", "0s").start().await;
        let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
                      VALUES ('order', UUID(), 'order.created', 'order.created',
                              JSON_OBJECT('text', REPEAT('x', 500000)))";
        for _ in 0..40 {
            sqlx::query(insert).execute(&world.pool).await.unwrap();
        }
        world.until_all_published().await;
        eventually("all of it is proven", async || world.proven_seq().await == 40).await;
        world.nats.stop().await;
        fs::remove_file(world.nats.store().join("jetstream/$G/streams/ORDERS/msgs/2.blk")).unwrap();
        world.nats.restart().await;
        eventually("the loss is found", async || world.healed().await > 0).await;
        world.until_all_published().await;
        eventually("nothing more is looked for", async || {
            let calm = "SELECT suspicion IS NULL AND history_seq IS NULL FROM relay_stream";
            sqlx::query_scalar::<_, bool>(calm).fetch_one(&world.pool).await.unwrap()
        }).await;
        let stored = world.messages().await;
        let ids: std::collections::HashSet<_> =
            stored.iter().map(|message| message.headers.get("ce-id").unwrap().to_string()).collect();
        assert_eq!((ids.len(), stored.len()), (40, 40));
        assert!(world.healed().await < 40, "{}", relay.log());
    }

    async fn a_stream_that_takes_no_more_consumers_is_compared_and_healed(engine: Engine) {
        let mut world = World::new(engine).await;
        let stream = world.open_stream(Config { max_consumers: 1, ..Config::default() }).await;
        let durable = async_nats::jetstream::consumer::pull::Config { durable_name: Some("only".to_owned()), ..Default::default() };
        stream.create_consumer(durable).await.unwrap();
        let mut relay = world.watchful().start().await;
        world.published(30).await;
        let earlier = world.store().await;
        let lost = world.published(30).await;
        relay.kill().await;
        world.rewind(Some(&earlier)).await;
        relay.restart().await;
        world.until_healed(30).await;
        stream.delete_consumer("only").await.unwrap();
        world.is_whole(&lost).await;
    }
}

#[tokio::test]
async fn messages_of_others_between_ours_cost_a_comparison_no_memory() {
    const OTHERS: usize = 60_000;
    let mut world = World::new(Engine::MySql).await;
    let relay = world.watchful().start().await;
    let client = async_nats::connect(world.nats.url()).await.unwrap();
    for _ in 0..3 {
        world.published(20).await;
        for _ in 0..OTHERS {
            client.publish("order.test", "{}".into()).await.unwrap();
        }
        client.flush().await.unwrap();
    }
    world.published(20).await;
    let holder: String = sqlx::query_scalar("SELECT holder FROM relay_lease").fetch_one(&world.pool).await.unwrap();
    let status = format!("/proc/{}/status", holder.split(':').nth(1).unwrap());
    let peak = || -> u64 {
        let status = fs::read_to_string(&status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = peak();
    world.nats.kill().await;
    world.nats.restart().await;
    eventually("the relay has compared", async || {
        metric(&relay, "relay_deep_checks_total{sign=\"server\"}").await >= 1.0
            && sqlx::query_scalar::<_, bool>("SELECT suspicion IS NULL FROM relay_stream")
                .fetch_one(&world.pool)
                .await
                .unwrap()
    })
    .await;
    world.published(1).await;
    assert!(peak() < before + 10_000, "from {before} to {} KiB", peak());
    assert_eq!(world.healed().await, 0);
}

#[tokio::test]
async fn a_rewound_stream_that_was_filled_up_again_is_found_out() {
    let mut world = World::new(Engine::MySql).await;
    let mut relay = world.watchful().start().await;
    world.published(5).await;
    let earlier = world.store().await;
    let lost = world.published(30).await;
    relay.kill().await;
    world.rewind(Some(&earlier)).await;
    let jetstream = world.jetstream().await;
    for number in 0..60 {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(schema::names::MSG_ID_HEADER, format!("of somebody else, {number}"));
        jetstream.publish_with_headers("order.test", headers, "{}".into()).await.unwrap().await.unwrap();
    }
    relay.restart().await;
    world.until_healed(30).await;
    world.is_whole(&lost).await;
}

#[tokio::test]
async fn what_ages_out_of_the_stream_is_no_loss() {
    let mut world = World::new(Engine::MySql).await;
    let second = std::time::Duration::from_secs(1);
    let config = Config { max_age: second, duplicate_window: second, ..Config::default() };
    let mut stream = world.open_stream(config).await;
    let relay = world.watchful().start().await;
    world.published(30).await;
    eventually("all of it is gone", async || stream.info().await.unwrap().state.messages == 0).await;
    world.nats.kill().await;
    world.nats.restart().await;
    eventually("the relay has compared", async || {
        metric(&relay, "relay_deep_checks_total{sign=\"server\"}").await >= 1.0
    })
    .await;
    world.published(1).await;
    eventually("and looked on", async || {
        let suspicion = sqlx::query_scalar::<_, bool>("SELECT suspicion IS NULL AND last_seq = 31 FROM relay_stream");
        suspicion.fetch_one(&world.pool).await.unwrap()
    })
    .await;
    assert_eq!(world.healed().await, 0);
}

#[tokio::test]
async fn what_is_deleted_comes_back_as_long_as_the_outbox_has_it_proven_or_not() {
    let world = World::new(Engine::MySql).await;
    let stream = world.open_stream(Config::default()).await;
    let mut relay = world.watchful().start().await;
    let events = world.published(5).await;
    stream.delete_message(2).await.unwrap();
    world.until_healed(1).await;
    world.is_whole(&events[1..2]).await;

    relay.kill().await;
    let mut relay = relay.env("PROOF_HORIZON", "0s");
    relay.restart().await;
    eventually("all of it is proven", async || world.proven_seq().await == 6).await;
    stream.delete_message(3).await.unwrap();
    world.until_healed(2).await;
    world.is_whole(&events[1..3]).await;
    eventually("all of it is proven", async || world.proven_seq().await == 7).await;
    stream.purge().await.unwrap();
    world.until_healed(7).await;
    assert_eq!(world.messages().await.len(), 5);

    // What is to stay away is purged from the outbox first.
    eventually("all of it is proven", async || world.proven_seq().await == 12).await;
    let age = "UPDATE outbox SET published_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY";
    sqlx::query(age).execute(&world.pool).await.unwrap();
    assert_eq!(world.ask(&["event", "purge", "--older-than", "1h"])["events"], 5);
    stream.purge().await.unwrap();
    world.published(1).await;
    eventually("it went on", async || world.proven_seq().await == 13).await;
    assert_eq!((world.messages().await.len(), world.healed().await), (1, 7));
}

/// What is left when a relay dies over it: the sign is remembered, and some events are pending again already.
#[tokio::test]
async fn a_relay_that_died_while_it_healed_leaves_the_rest_to_the_next_one() {
    let world = World::new(Engine::MySql).await;
    let stream = world.open_stream(Config::default()).await;
    let mut relay = world.watchful().start().await;
    let events = world.published(5).await;
    eventually("it has seen all", async || {
        let seen = sqlx::query_scalar::<_, u64>("SELECT last_seq FROM relay_stream");
        seen.fetch_one(&world.pool).await.unwrap() == 5
    })
    .await;
    relay.kill().await;
    stream.delete_message(2).await.unwrap();
    stream.delete_message(4).await.unwrap();
    for statement in [
        "UPDATE relay_stream SET suspicion = 'deleted', deleted = 2",
        "UPDATE outbox SET state = 'pending', heal_epoch = 1, stream_seq = 0 WHERE stream_seq = 4",
    ] {
        sqlx::query(statement).execute(&world.pool).await.unwrap();
    }
    relay.restart().await;
    world.until_healed(1).await;
    world.is_whole(&[events[1], events[3]]).await;
}
