//! Many events go as one atomic batch; what the broker refuses as a batch goes one by one.

use std::collections::HashMap;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Config;
use schema::names::{MSG_ID_HEADER, STREAM};
use sqlx::QueryBuilder;
use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{Message, World, metric};

/// Appends the events in one statement, so that one claim finds them all; returns their ids.
pub async fn append_at_once(world: &World, events: &[(Uuid, u32)]) -> Vec<Uuid> {
    let ids: Vec<_> = events.iter().map(|_| Uuid::now_v7()).collect();
    let mut insert = QueryBuilder::new(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload) ",
    );
    insert.push_values(events.iter().zip(&ids), |mut row, ((aggregate, version), id)| {
        row.push_bind(id).push_bind("order").push_bind(aggregate.to_string()).push_bind(version);
        row.push_bind("order.created").push_bind("order.created").push_bind("{}");
    });
    insert.build().execute(&world.pool).await.unwrap();
    ids
}

/// `orders` orders with `versions` events each, the versions of an order side by side.
pub fn events(orders: usize, versions: u32) -> Vec<(Uuid, u32)> {
    let orders: Vec<_> = (0..orders).map(|_| Uuid::now_v7()).collect();
    orders.iter().flat_map(|order| (1..=versions).map(|version| (*order, version))).collect()
}

pub fn versions_by_order(messages: &[Message]) -> HashMap<String, Vec<u32>> {
    let mut versions: HashMap<String, Vec<u32>> = HashMap::new();
    for message in messages {
        let header = |name| message.headers.get(name).unwrap().as_str();
        versions
            .entry(header("ce-subject").to_owned())
            .or_default()
            .push(header("ce-aggregateversion").parse().unwrap());
    }
    versions
}

/// A stream that takes atomic batches, and no message above 2,000 bytes.
pub async fn stream_of_small_messages(world: &World) {
    let config = Config {
        name: STREAM.to_owned(),
        subjects: vec!["order.>".to_owned()],
        max_message_size: 2_000,
        allow_atomic_publish: true,
        ..Config::default()
    };
    world.jetstream().await.create_stream(config).await.unwrap();
}

/// Together with its headers the event is larger than the stream takes; the claim can't know that.
pub async fn outgrow_the_stream(world: &World, event: Uuid) {
    let grow = "UPDATE outbox SET payload = CONCAT('{\"text\":\"', REPEAT('x', 1900), '\"}') WHERE event_id = ?";
    sqlx::query(grow).bind(event).execute(&world.pool).await.unwrap();
}

both_engines! {
    async fn a_thousand_events_go_as_one_atomic_batch_and_each_row_knows_its_place(engine: Engine) {
        let world = World::new(engine).await;
        append_at_once(&world, &events(250, 4)).await;
        let relay = world.relay().start().await;
        world.until_all_published().await;

        assert_eq!(metric(&relay, "relay_batches_total{path=\"atomic\"}").await, 1.0);
        let messages = world.messages().await;
        assert_eq!(messages.len(), 1000);
        for message in messages.iter().step_by(100) {
            let row = world.row(message.msg_id.parse().unwrap()).await;
            assert_eq!(row.stream_seq, Some(message.sequence));
        }
        for (order, versions) in versions_by_order(&messages) {
            assert_eq!(versions, [1, 2, 3, 4], "{order}");
        }
    }

    async fn a_batch_that_is_refused_for_one_known_id_is_published_one_by_one_in_order(engine: Engine) {
        let world = World::new(engine).await;
        let relay = world.relay().start().await;
        append_at_once(&world, &events(50, 3)).await;
        world.until_all_published().await;
        let first = world.messages().await.len();

        // As after a publish whose answer was lost: the stream has some events that are pending.
        sqlx::query("UPDATE outbox SET state = 'pending' WHERE seq % 3 <> 1").execute(&world.pool).await.unwrap();
        world.until_all_published().await;
        assert_eq!(metric(&relay, "relay_batches_total{path=\"after_refusal\"}").await, 1.0);
        assert_eq!(world.messages().await.len(), first);
        for (order, versions) in versions_by_order(&world.messages().await) {
            assert_eq!(versions, [1, 2, 3], "{order}");
        }
        assert_eq!(metric(&relay, "relay_pubacks_total{result=\"duplicate\"}").await, 100.0);
    }
}

#[tokio::test]
async fn a_stream_without_atomic_batches_gets_single_events() {
    let world = World::new(Engine::MySql).await;
    let config = Config { name: STREAM.to_owned(), subjects: vec!["order.>".to_owned()], ..Config::default() };
    world.jetstream().await.create_stream(config).await.unwrap();
    append_at_once(&world, &events(100, 2)).await;
    let relay = world.relay().start().await;
    world.until_all_published().await;
    assert_eq!(metric(&relay, "relay_batches_total{path=\"atomic\"}").await, 0.0);
    for versions in versions_by_order(&world.messages().await).values() {
        assert_eq!(versions, &[1, 2]);
    }
}

#[tokio::test]
async fn a_stream_that_stops_taking_atomic_batches_gets_single_events() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    let jetstream = world.jetstream().await;
    let config = jetstream.get_stream(STREAM).await.unwrap().cached_info().config.clone();
    jetstream.update_stream(Config { allow_atomic_publish: false, ..config }).await.unwrap();
    append_at_once(&world, &events(50, 2)).await;
    world.until_all_published().await;
    assert_eq!(metric(&relay, "relay_batches_total{path=\"after_refusal\"}").await, 1.0);
    assert_eq!(world.messages().await.len(), 101);
}

#[tokio::test]
async fn by_configuration_single_events_are_published() {
    let world = World::new(Engine::MySql).await;
    append_at_once(&world, &events(100, 2)).await;
    let relay = world.relay().env("PUBLISH_PATH", "careful").start().await;
    world.until_all_published().await;
    assert_eq!(metric(&relay, "relay_batches_total{path=\"atomic\"}").await, 0.0);
    assert_eq!(world.messages().await.len(), 200);
}

/// More orders than are in flight at once.
#[tokio::test]
async fn single_events_of_many_orders_enter_the_stream_in_the_order_of_the_table() {
    let world = World::new(Engine::MySql).await;
    let ids = append_at_once(&world, &events(1_500, 1)).await;
    let _relay = world.relay().env("PUBLISH_PATH", "careful").start().await;
    world.until_all_published().await;
    let stored: Vec<Uuid> = world.messages().await.iter().map(|message| message.msg_id.parse().unwrap()).collect();
    assert!(stored == ids);
}

#[tokio::test]
async fn nothing_overtakes_an_event_that_the_broker_refuses() {
    let world = World::new(Engine::MySql).await;
    stream_of_small_messages(&world).await;
    let orders = events(100, 3);
    let ids = append_at_once(&world, &orders).await;
    for refused in [ids[1], ids[151]] {
        outgrow_the_stream(&world, refused).await;
    }
    let _relay = world.relay().start().await;
    eventually("all others are published", async || world.count("published").await == 296).await;
    eventually("the refused ones are dead, and what follows them is held", async || {
        (world.count("dead").await, world.count("held").await) == (2, 2)
    })
    .await;
    let complete = versions_by_order(&world.messages().await);
    assert_eq!(complete.values().filter(|versions| **versions == [1]).count(), 2);
    assert_eq!(complete.values().filter(|versions| **versions == [1, 2, 3]).count(), 98);
}

/// The broker has the messages of the second thousand before it refuses the first.
#[tokio::test]
async fn what_is_made_ready_behind_a_refused_event_does_not_overtake_it() {
    let world = World::new(Engine::MySql).await;
    stream_of_small_messages(&world).await;
    let mut claim = events(2_500, 1);
    let order = Uuid::now_v7();
    claim[900] = (order, 1);
    claim[1_100] = (order, 2);
    let ids = append_at_once(&world, &claim).await;
    outgrow_the_stream(&world, ids[900]).await;
    let _relay = world.relay().start().await;
    eventually("all others are published", async || world.count("published").await == 2_498).await;
    eventually("the later event is held", async || (world.count("dead").await, world.count("held").await) == (1, 1))
        .await;
    assert_eq!(world.messages().await.len(), 2_498);
}

/// As after a crash: one event of the first thousand is in the stream already.
#[tokio::test]
async fn what_is_made_ready_behind_a_refused_batch_follows_it() {
    let world = World::new(Engine::MySql).await;
    let ids = append_at_once(&world, &events(1_000, 2)).await;
    sqlx::query("UPDATE outbox SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR")
        .execute(&world.pool)
        .await
        .unwrap();
    let relay = world.relay().start().await;
    world.append(Uuid::now_v7(), 1).await;
    eventually("the relay has looked at the stream", async || world.count("published").await == 1).await;
    let mut headers = HeaderMap::new();
    headers.insert(MSG_ID_HEADER, ids[0].to_string());
    let jetstream = world.jetstream().await;
    let stored = jetstream.publish_with_headers("order.created", headers, "{}".into()).await.unwrap();
    stored.await.unwrap();
    sqlx::query("UPDATE outbox SET next_attempt_at = NULL").execute(&world.pool).await.unwrap();
    world.until_all_published().await;
    assert_eq!(metric(&relay, "relay_batches_total{path=\"after_refusal\"}").await, 1.0);
    assert_eq!(metric(&relay, "relay_batches_total{path=\"atomic\"}").await, 1.0);
    let messages = world.messages().await;
    assert_eq!(messages.len(), 2_001);
    for (order, versions) in versions_by_order(&messages[2..]) {
        assert!([&[1, 2][..], &[2]].contains(&&versions[..]), "{order}: {versions:?}");
    }
}

#[tokio::test]
async fn the_event_ids_of_a_batch_are_its_dedup_ids() {
    let world = World::new(Engine::MySql).await;
    let ids = append_at_once(&world, &events(50, 1)).await;
    let _relay = world.relay().start().await;
    world.until_all_published().await;
    let mut headers = HeaderMap::new();
    headers.insert(MSG_ID_HEADER, ids[7].to_string());
    let jetstream = world.jetstream().await;
    let again = jetstream.publish_with_headers("order.created", headers, "{}".into()).await.unwrap();
    assert!(again.await.unwrap().duplicate);
}
