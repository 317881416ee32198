//! Events enter the stream once, and those of one aggregate in version order.

use std::collections::HashMap;

use schema::envelope::Envelope;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

both_engines! {
    async fn events_of_one_aggregate_enter_the_stream_in_version_order(engine: Engine) {
        let world = World::new(engine).await;
        let aggregates: Vec<_> = (0..7).map(|_| Uuid::now_v7()).collect();
        // Half wait for the relay, half arrive while it works.
        for version in 1..=20 {
            for aggregate in &aggregates {
                world.append(*aggregate, version).await;
            }
        }
        let _relay = world.relay().env("BATCH_SIZE_MAX", "50").start().await;
        for version in 21..=40 {
            for aggregate in &aggregates {
                world.append(*aggregate, version).await;
            }
        }
        world.until_all_published().await;

        let messages = world.messages().await;
        assert_eq!(messages.len(), 7 * 40);
        let mut versions: HashMap<Uuid, Vec<u32>> = HashMap::new();
        for message in messages {
            let header = |name: &'static str| message.headers.get(name).map(|value| value.as_str());
            let envelope = Envelope::from_headers(header).unwrap();
            assert_eq!(message.msg_id, envelope.event_id.to_string());
            let row = world.row(envelope.event_id.0).await;
            assert_eq!(row.stream_seq, Some(message.sequence));
            versions.entry(envelope.aggregate_id).or_default().push(envelope.aggregate_version.unwrap().get());
        }
        for aggregate in aggregates {
            assert_eq!(versions[&aggregate], (1..=40).collect::<Vec<_>>());
        }
    }

    async fn an_event_that_waits_for_its_next_attempt_keeps_its_younger_siblings_back(engine: Engine) {
        let world = World::new(engine).await;
        let (aggregate, other) = (Uuid::now_v7(), Uuid::now_v7());
        let elder = world.append(aggregate, 1).await;
        let younger = world.append(aggregate, 2).await;
        let unrelated = world.append(other, 1).await;
        let put_off = "UPDATE outbox SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE event_id = ?";
        sqlx::query(put_off).bind(elder).execute(&world.pool).await.unwrap();

        let _relay = world.relay().start().await;
        stack::testing::eventually("the unrelated event is published", async || {
            world.row(unrelated).await.state == "published"
        }).await;
        assert_eq!(world.row(younger).await.state, "pending");

        let due = "UPDATE outbox SET next_attempt_at = UTC_TIMESTAMP(6) WHERE event_id = ?";
        sqlx::query(due).bind(elder).execute(&world.pool).await.unwrap();
        world.until_all_published().await;
        assert!(world.row(elder).await.stream_seq < world.row(younger).await.stream_seq);
    }
}
