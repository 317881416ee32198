//! Wake hints end the wait; without them the poll finds everything.

use stack::Engine;
use stack::testing::eventually;
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
