//! The relay dies between PubAck and settle.

use std::time::Duration;

use stack::testing::{Service, TcpProxy, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, metric};

/// The relay publishes a first event and settles it, publishes a second one, and dies before it is settled.
async fn crash_after_puback(world: &World) -> (Service, Uuid) {
    let mut proxy = TcpProxy::start(world.database.port()).await;
    let relay = world.relay_through(&proxy);
    let mut relay = relay.start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;

    // The broker holds its answer back until the relay's way to the database is blocked: the settle never arrives.
    world.nats.freeze();
    let event = world.append(Uuid::now_v7(), 1).await;
    eventually("it has claimed", async || metric(&relay, "relay_claimed_events_total").await == 2.0).await;
    proxy.pause().await;
    world.nats.thaw();
    eventually("the broker acknowledged", async || {
        metric(&relay, "relay_pubacks_total{result=\"stored\"}").await == 2.0
    })
    .await;
    relay.kill().await;
    assert_eq!(world.row(event).await.state, "pending");
    (relay.env("DATABASE_URL", world.database.url("outbox_relay")), event)
}

both_engines! {
    async fn a_crash_after_puback_stores_no_second_message(engine: Engine) {
        let world = World::new(engine).await;
        let (mut relay, event) = crash_after_puback(&world).await;
        relay.restart().await;
        world.until_all_published().await;
        assert_eq!(metric(&relay, "relay_recovered_events_total").await, 1.0);
        assert_eq!(world.messages().await.len(), 2);
        assert_eq!(world.row(event).await.stream_seq, Some(2));
    }

    async fn a_crash_after_puback_stores_no_second_message_even_after_the_dedup_window(engine: Engine) {
        let world = World::new(engine).await;
        // The broker forgets an id at once; an existing stream is left as it is.
        let jetstream = world.jetstream().await;
        jetstream.create_stream(async_nats::jetstream::stream::Config {
            name: schema::names::STREAM.to_owned(),
            subjects: vec!["order.>".to_owned()],
            duplicate_window: Duration::from_millis(100),
            ..Default::default()
        }).await.unwrap();
        let (mut relay, event) = crash_after_puback(&world).await;
        eventually("the broker has forgotten the id of the first event", async || {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(schema::names::MSG_ID_HEADER, "an id of this test");
            let publish = jetstream.publish_with_headers("order.test", headers, "{}".into()).await.unwrap();
            let count = publish.await.unwrap().sequence;
            count > 3
        }).await;
        let before = world.messages().await.len();
        relay.restart().await;
        world.until_all_published().await;
        assert_eq!(metric(&relay, "relay_recovered_events_total").await, 1.0);
        assert_eq!(world.messages().await.len(), before);
        assert_eq!(world.row(event).await.stream_seq, Some(2));
    }

    async fn a_duplicate_that_the_stream_does_not_hold_is_published_under_a_fresh_id(engine: Engine) {
        let world = World::new(engine).await;
        let event = Uuid::now_v7();
        // The broker knows the id, and the message at that sequence is gone.
        let jetstream = world.jetstream().await;
        let stream = jetstream.create_stream(async_nats::jetstream::stream::Config {
            name: schema::names::STREAM.to_owned(),
            subjects: vec!["order.>".to_owned()],
            ..Default::default()
        }).await.unwrap();
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(schema::names::MSG_ID_HEADER, event.to_string());
        let ack = jetstream.publish_with_headers("order.created", headers, "{}".into()).await.unwrap().await.unwrap();
        stream.delete_message(ack.sequence).await.unwrap();

        sqlx::query(
            "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
             VALUES (?, 'order', ?, 1, 'order.created', 'order.created', '{}')",
        ).bind(event).bind(Uuid::now_v7().to_string()).execute(&world.pool).await.unwrap();
        let _relay = world.relay().start().await;
        world.until_all_published().await;
        let messages = world.messages().await;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].msg_id, format!("{event}.h1"));
        assert_eq!(messages[0].headers.get("ce-id").unwrap().as_str(), event.to_string());
    }
}
