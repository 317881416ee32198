//! Wake hints end the wait; without them the poll finds everything.

use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, metric};

#[tokio::test]
async fn a_wake_hint_ends_the_wait_for_the_next_poll() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().env("POLL_INTERVAL", "1h").start().await;
    let client = async_nats::connect(world.nats.url()).await.unwrap();
    // The first hint may come before the relay listens; each further one is as good.
    let wake = async || {
        client.publish(schema::names::ORDERS_WAKE_SUBJECT, "".into()).await.unwrap();
        client.flush().await.unwrap();
    };
    world.append(Uuid::now_v7(), 1).await;
    eventually("the hint is heard", async || {
        wake().await;
        metric(&relay, "relay_pubacks_total{result=\"stored\"}").await == 1.0
    })
    .await;
    world.append(Uuid::now_v7(), 1).await;
    wake().await;
    world.until_all_published().await;
}

both_engines! {
    async fn without_hints_the_poll_finds_everything_also_what_commits_late(engine: Engine) {
        let world = World::new(engine).await;
        let relay = world.relay().env("POLL_INTERVAL", "500ms").start().await;
        let order = Uuid::now_v7();
        for version in 1..=3 {
            world.append(order, version).await;
            world.until_all_published().await;
        }
        // A writer that takes its place in the table first, and commits after others were published.
        let mut late = world.pool.begin().await.unwrap();
        let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
                      VALUES ('order', ?, 'order.created', 'order.created', '{}')";
        sqlx::query(insert).bind(Uuid::now_v7().to_string()).execute(&mut *late).await.unwrap();
        for version in 4..=6 {
            world.append(order, version).await;
        }
        world.until_all_published().await;
        assert_eq!(world.messages().await.len(), 6);
        late.commit().await.unwrap();
        world.until_all_published().await;
        assert_eq!(world.messages().await.len(), 7);
        assert_eq!(metric(&relay, "relay_claimed_events_total").await, 7.0);
    }
}

#[tokio::test]
async fn after_work_the_table_is_looked_at_sooner_than_the_poll_interval() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().env("POLL_INTERVAL", "1h").start().await;
    // An hour passes between two polls of an idle relay; one that has just started or worked polls after 20 ms, then 40.
    for version in 1..=5 {
        world.append(Uuid::now_v7(), version).await;
        world.until_all_published().await;
    }
    assert_eq!(metric(&relay, "relay_pubacks_total{result=\"stored\"}").await, 5.0);
}
