//! Events enter the stream once, and those of one aggregate in version order.

use std::collections::HashMap;

use schema::envelope::Envelope;
use stack::testing::{TcpProxy, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

both_engines! {
    async fn events_of_one_aggregate_enter_the_stream_in_version_order(engine: Engine) {
        let world = World::new(engine).await;
        let (uuid, longest) = (Uuid::now_v7().to_string(), "x".repeat(64));
        // Numbers, text that SQL, JSON or a shell might take for something else, and two that differ by their case.
        let aggregates = ["4711", "0", &uuid, &longest, r#"it's/"5%_\o/;*>"#, "a", "A"];
        // Half wait for the relay, half arrive while it works.
        for version in 1..=20 {
            for aggregate in &aggregates {
                world.append(aggregate, version).await;
            }
        }
        let _relay = world.relay().env("BATCH_SIZE_MAX", "50").start().await;
        for version in 21..=40 {
            for aggregate in &aggregates {
                world.append(aggregate, version).await;
            }
        }
        world.until_all_published().await;

        let messages = world.messages().await;
        assert_eq!(messages.len(), 7 * 40);
        let mut versions: HashMap<String, Vec<u32>> = HashMap::new();
        for message in messages {
            let header = |name: &'static str| message.headers.get(name).map(|value| value.as_str());
            let envelope = Envelope::from_headers(header).unwrap();
            assert_eq!(message.msg_id, envelope.event_id.to_string());
            let row = world.row(envelope.event_id.0).await;
            assert_eq!(row.stream_seq, Some(message.sequence));
            versions.entry(envelope.aggregate_id.to_string()).or_default().push(envelope.aggregate_version.unwrap().get());
        }
        for aggregate in aggregates {
            assert_eq!(versions[aggregate], (1..=40).collect::<Vec<_>>());
            let listed = world.ask(&["event", "list", "--aggregate", &format!("order/{aggregate}")]);
            let versions: Vec<_> = listed.as_array().unwrap().iter().map(|event| event["aggregate_version"].as_u64().unwrap()).collect();
            assert_eq!(versions, (1..=40).rev().collect::<Vec<_>>(), "{aggregate}");
        }
    }

    async fn names_that_no_header_can_have_arrive_as_they_were_written(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        let (aggregate_type, event_type) = ("Stra\u{df}e \u{20ac}", r#"order.50%"off""#);
        let headers = r#"{"ce-dataschema": "/schemas/order%20paid", "tracestate": "a=50% b"}"#;
        sqlx::query(
            "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, headers)
             VALUES (?, '50%', 1, ?, 'order.paid', '{}', ?)",
        )
        .bind(aggregate_type).bind(event_type).bind(headers)
        .execute(&world.pool)
        .await
        .unwrap();
        world.until_all_published().await;
        world.ask(&["event", "replay", "--since", "1h", "--actor", "ada"]);

        let messages = world.messages().await;
        assert_eq!(messages.len(), 2);
        for message in messages {
            let header = |name: &'static str| message.headers.get(name).map(|value| value.as_str());
            assert_eq!(header("ce-aggregatetype"), Some("Stra%C3%9Fe%20%E2%82%AC"));
            assert_eq!(header("ce-type"), Some("order.50%25%22off%22"));
            assert_eq!(header("ce-dataschema"), Some("/schemas/order%2520paid"));
            assert_eq!(header("tracestate"), Some("a=50% b"), "no attribute of the event");
            let envelope = Envelope::from_headers(header).unwrap();
            assert_eq!((envelope.aggregate_type.as_str(), envelope.event_type.as_str()), (aggregate_type, event_type));
            assert_eq!(envelope.aggregate_id.as_str(), "50%");
        }
    }

    async fn an_event_that_waits_for_its_next_attempt_keeps_later_events_back(engine: Engine) {
        let world = World::new(engine).await;
        let (aggregate, other) = (Uuid::now_v7(), Uuid::now_v7());
        let earlier = world.append(aggregate, 1).await;
        let later = world.append(aggregate, 2).await;
        let unrelated = world.append(other, 1).await;
        let put_off = "UPDATE outbox SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE event_id = ?";
        sqlx::query(put_off).bind(earlier).execute(&world.pool).await.unwrap();

        let _relay = world.relay().start().await;
        eventually("the unrelated event is published", async || {
            world.row(unrelated).await.state == "published"
        }).await;
        eventually("the later one is held", async || world.row(later).await.state == "held").await;

        let due = "UPDATE outbox SET next_attempt_at = UTC_TIMESTAMP(6) WHERE event_id = ?";
        sqlx::query(due).bind(earlier).execute(&world.pool).await.unwrap();
        eventually("the later one is published", async || world.row(later).await.state == "published").await;
        assert!(world.row(earlier).await.stream_seq < world.row(later).await.stream_seq);
    }

    async fn a_thousand_held_events_of_one_order_do_not_slow_the_others(engine: Engine) {
        let world = World::new(engine).await;
        let order = Uuid::now_v7();
        let earlier = world.append(order, 1).await;
        let put_off = "UPDATE outbox SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE event_id = ?";
        sqlx::query(put_off).bind(earlier).execute(&world.pool).await.unwrap();
        sqlx::query(
            "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
             SELECT 'order', ?, n + 1, 'order.created', 'order.created', '{}'
             FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', 999), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS list",
        ).bind(order.to_string()).execute(&world.pool).await.unwrap();
        // Ten claims are full of events that can't be published.
        let _relay = world.relay().env("BATCH_SIZE_MAX", "100").start().await;
        let others = [world.append(Uuid::now_v7(), 1).await, world.append(Uuid::now_v7(), 1).await];
        for other in others {
            eventually("another order flows", async || world.row(other).await.state == "published").await;
        }
        eventually("they are held", async || world.count("held").await == 1000).await;
        assert_eq!(world.messages().await.len(), 2);
    }

    /// The relay is held up between its two questions: what stands in the way, and what is to be published.
    async fn an_event_that_is_let_go_on_in_the_middle_of_a_claim_is_not_overtaken(engine: Engine) {
        let world = World::new(engine).await;
        let aggregate = Uuid::now_v7();
        let first = world.append(aggregate, 1).await;
        let second = world.append(aggregate, 2).await;
        sqlx::query("UPDATE outbox SET state = 'dead' WHERE event_id = ?").bind(first).execute(&world.pool).await.unwrap();
        let mut proxy = TcpProxy::start(world.database.port()).await;
        proxy.pause_before(b"SELECT EXISTS (SELECT 1 FROM outbox WHERE state IN ('dead', 'held'))");
        let relay = world.relay_through(&proxy);
        let (relay, ()) = tokio::join!(relay.start(), async {
            proxy.until_paused().await;
            let requeue = "UPDATE outbox SET state = 'pending' WHERE event_id = ?";
            sqlx::query(requeue).bind(first).execute(&world.pool).await.unwrap();
            proxy.heal().await;
        });
        world.until_all_published().await;
        let place = async |event| world.row(event).await.stream_seq;
        assert!(place(first).await < place(second).await);
        drop(relay);
    }
}
