//! A relay is killed while it heals.

use std::collections::HashMap;

use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

const ORDERS: usize = 500;
const VERSIONS: u32 = 8;

impl World {
    /// The next version of each order, published.
    async fn publish_next(&self, orders: &[Uuid], version: u32) -> Vec<Uuid> {
        let events: Vec<Uuid> = orders.iter().map(|_| Uuid::now_v7()).collect();
        let rows: Vec<_> = events
            .iter()
            .zip(orders)
            .map(|(event, order)| (event.simple().to_string(), order.simple().to_string()))
            .collect();
        let insert =
            "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
             SELECT UNHEX(event_id), 'order', order_id, ?, 'order.created', 'order.created', '{}'
             FROM JSON_TABLE(?, '$[*]' COLUMNS (event_id CHAR(32) PATH '$[0]', order_id CHAR(32) PATH '$[1]')) AS list";
        let rows = sqlx::types::Json(rows);
        sqlx::query(insert).bind(version).bind(rows).execute(&self.pool).await.unwrap();
        self.until_all_published().await;
        events
    }
}

both_engines! {
    async fn a_relay_that_is_killed_while_it_heals_thousands_leaves_the_rest_to_the_next_one(engine: Engine) {
        let mut world = World::new(engine).await;
        let mut relay = world.watchful().start().await;
        let orders: Vec<Uuid> = (0..ORDERS).map(|_| Uuid::now_v7()).collect();
        world.publish_next(&orders, 1).await;
        let earlier = world.store().await;
        let mut lost = Vec::new();
        for version in 2..=VERSIONS {
            lost.extend(world.publish_next(&orders, version).await);
        }

        // Somebody holds one of those that are made pending last, so that the relay stands still halfway.
        let mut holder = world.pool.begin().await.unwrap();
        let hold = "SELECT seq FROM outbox WHERE event_id = ? FOR UPDATE";
        sqlx::query(hold).bind(lost[lost.len() / 2]).execute(&mut *holder).await.unwrap();
        world.rewind(Some(&earlier)).await;
        eventually("it heals", async || world.count("pending").await > 0).await;
        relay.kill().await;
        assert!(world.count("pending").await < i64::try_from(lost.len()).unwrap());
        // The oldest of them showed that the broker stores what it is given.
        assert_eq!(world.messages().await.len(), ORDERS + 1, "nothing else is published before all of it is pending");
        holder.rollback().await.unwrap();

        relay.restart().await;
        eventually("the loss is noted", async || world.healed().await > 0).await;
        world.until_all_published().await;
        world.is_whole(&lost).await;
        let mut next: HashMap<String, u32> = HashMap::new();
        for message in world.messages().await {
            let header = |name: &str| message.headers.get(name).unwrap().to_string();
            let version = next.entry(header("ce-subject")).or_default();
            *version += 1;
            assert_eq!(header("ce-aggregateversion"), version.to_string(), "{message:?}");
        }
        assert_eq!((next.len(), next.values().all(|version| *version == VERSIONS)), (ORDERS, true));
    }
}
