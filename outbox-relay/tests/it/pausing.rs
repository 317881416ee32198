//! Pause and resume go through the database: every relay sees them.

use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, metric};

async fn append_to(world: &World, aggregate: Uuid, version: u32, subject: &str) -> Uuid {
    let event_id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
         VALUES (?, 'order', ?, ?, ?, ?, '{}')",
    )
    .bind(event_id)
    .bind(aggregate.to_string())
    .bind(version)
    .bind(subject)
    .bind(subject)
    .execute(&world.pool)
    .await
    .unwrap();
    event_id
}

both_engines! {
    async fn a_pause_is_seen_by_all_relays_and_stops_only_its_pattern(engine: Engine) {
        let world = World::new(engine).await;
        let mut first = world.relay().start().await;
        eventually("the first is active", async || metric(&first, "relay_lease_held").await == 1.0).await;
        let second = world.relay().start().await;

        world.ask(&["subject", "pause", "order.refund.*", "--reason", "the ledger is being moved"]);
        for relay in [&first, &second] {
            eventually("it is seen", async || metric(relay, "relay_paused_patterns").await == 1.0).await;
        }
        let order = Uuid::now_v7();
        let paused = append_to(&world, order, 1, "order.refund.asked").await;
        let behind = append_to(&world, order, 2, "order.created").await;
        // More than a batch of them, so that one that waits could block what comes after.
        let mut more = Vec::new();
        for _ in 0..60 {
            more.push(append_to(&world, Uuid::now_v7(), 1, "order.refund.asked").await);
        }
        let flowing = append_to(&world, Uuid::now_v7(), 1, "order.created").await;
        eventually("other subjects flow", async || world.row(flowing).await.state == "published").await;
        assert!(first.terminate().await.success());
        let later = append_to(&world, Uuid::now_v7(), 1, "order.created").await;
        eventually("the second relay works", async || world.row(later).await.state == "published").await;
        let late = append_to(&world, order, 3, "order.created").await;
        eventually("a later event waits too", async || world.row(late).await.state == "held").await;
        assert_eq!(world.messages().await.len(), 2);
        for event in [paused, behind, more[59]] {
            assert_ne!(world.row(event).await.state, "published");
        }

        world.ask(&["subject", "resume", "order.refund.*"]);
        eventually("all go on", async || world.count("published").await == 65).await;
        let sequence = async |event| world.row(event).await.stream_seq.unwrap();
        assert!(sequence(paused).await < sequence(behind).await && sequence(behind).await < sequence(late).await);
    }

    async fn a_pause_outlives_the_relays(engine: Engine) {
        let world = World::new(engine).await;
        let too_long = "a".repeat(101);
        for actor in ["", " ", too_long.as_str()] {
            let refused = world.verb(&["subject", "pause", ">", "--reason", "maintenance", "--actor", actor]);
            assert_eq!(refused.code, Some(64), "{refused:?}");
            assert!(refused.complained.contains("a name has 1 to 100 characters"), "{refused:?}");
        }
        world.ask(&["subject", "pause", ">", "--reason", "maintenance"]);
        let status = world.verb(&["status"]);
        assert!(status.said.contains("paused    >, since ") && status.said.contains(" by ada: maintenance"), "{status:?}");
        let event = world.append(Uuid::now_v7(), 1).await;
        let mut relay = world.relay().start().await;
        eventually("it waits", async || world.row(event).await.state == "held").await;
        relay.kill().await;
        relay.restart().await;
        eventually("it is active again", async || metric(&relay, "relay_lease_held").await == 1.0).await;
        let later = world.append(Uuid::now_v7(), 1).await;
        eventually("it waits too", async || world.row(later).await.state == "held").await;
        assert_eq!(world.messages().await.len(), 0);
        world.ask(&["subject", "resume", ">"]);
        eventually("both go on", async || world.count("published").await == 2).await;
    }
}

#[tokio::test]
async fn a_pause_says_who_and_why_and_can_not_be_made_twice() {
    let world = World::new(Engine::MySql).await;
    let pauses = world.ask(&["subject", "pause", "order.created", "--reason", "moving"]);
    assert_eq!((&pauses[0]["paused_by"], &pauses[0]["reason"]), (&"ada".into(), &"moving".into()));
    let again = world.verb(&["subject", "pause", "order.created", "--reason", "moving"]);
    assert_eq!((again.code, again.complained.contains("paused already")), (Some(2), true), "{again:?}");
    assert_eq!(world.verb(&["subject", "pause", "order.created"]).code, Some(64), "a pause needs a reason");
    assert_eq!(world.verb(&["subject", "pause", "order..x", "--reason", "x"]).code, Some(64));
    assert!(world.verb(&["subject", "list"]).said.contains("moving"));
    assert_eq!(world.verb(&["subject", "resume", "order.cancelled"]).code, Some(3));
}
