//! The broker loses what it acknowledged, under the whole pipeline.

use std::fs;
use std::path::Path;

use schema::names::STREAM;
use stack::testing::{copy_folder, eventually};
use stack::{Engine, both_engines};

use crate::pipeline::Pipeline;
use crate::services::metric;

impl Pipeline {
    async fn placed(&self, orders: usize) -> Vec<String> {
        let mut placed = Vec::new();
        for _ in 0..orders {
            placed.push(self.services.place().await);
        }
        for order in &placed {
            self.services.until_notified(order).await;
        }
        placed
    }

    /// Stops the broker, changes its store, and starts it again.
    async fn change_store(&mut self, change: impl FnOnce(&Path)) {
        self.nats.stop().await;
        change(&self.nats.store());
        self.nats.restart().await;
    }

    async fn until_healed(&self, events: f64) {
        let relay = &self.services.relay;
        eventually("what was lost is found", async || metric(relay, "relay_healed_events_total").await == events).await;
        let pool = self.orders.admin_pool().await;
        eventually("and published", async || {
            let waiting = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM outbox WHERE state <> 'published'");
            waiting.fetch_one(&pool).await.unwrap() == 0
        })
        .await;
    }
}

both_engines! {
    async fn whatever_the_broker_loses_each_event_is_in_the_stream_and_has_its_effect_once(engine: Engine) {
        let mut pipeline = Pipeline::start(engine).await;
        let mut orders = pipeline.placed(3).await;
        let earlier = tempfile::tempdir().unwrap();
        pipeline.change_store(|store| copy_folder(store, earlier.path())).await;
        orders.extend(pipeline.placed(4).await);
        pipeline.change_store(|store| {
            fs::remove_dir_all(store).unwrap();
            copy_folder(earlier.path(), store);
        }).await;
        pipeline.until_healed(4.0).await;
        assert_eq!(pipeline.msg_ids().await.iter().filter(|id| id.ends_with(".h1")).count(), 4);

        orders.extend(pipeline.placed(2).await);
        pipeline.change_store(|store| fs::remove_dir_all(store).unwrap()).await;
        pipeline.until_healed(13.0).await;
        orders.extend(pipeline.placed(1).await);
        pipeline.jetstream().await.delete_stream(STREAM).await.unwrap();
        pipeline.until_healed(23.0).await;
        orders.extend(pipeline.placed(1).await);

        let ids = pipeline.msg_ids().await;
        let mut events: Vec<&str> = ids.iter().map(|id| id.split('.').next().unwrap()).collect();
        events.sort_unstable();
        events.dedup();
        assert_eq!((ids.len(), events.len()), (11, 11), "{ids:?}");
        for order in &orders {
            pipeline.services.until_notified(order).await;
        }
        let notifications = pipeline.notifications.admin_pool().await;
        let effects: (i64, i64) = sqlx::query_as("SELECT (SELECT COUNT(*) FROM inbox), (SELECT COUNT(*) FROM notifications)")
            .fetch_one(&notifications).await.unwrap();
        assert_eq!(effects, (11, 11));
        let logs = pipeline.services.logs();
        assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
    }
}
