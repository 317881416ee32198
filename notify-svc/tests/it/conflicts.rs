//! Events that are not what they seem: used ids, used versions, tombstones, effects that the schema refuses.

use schema::ids::OrderId;
use sqlx::AssertSqlSafe;
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, metric, stat, verb_json};

both_engines! {
    async fn a_used_event_id_with_another_payload_is_kept_as_a_conflict(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let event = Published::created();
        let mut other = Published::created_of(event.order_id(), "another thing");
        other.envelope = event.envelope.clone();
        setting.publish(&[&event, &other, &event]).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("notifications").await, 1);
        assert_eq!((stat(&service, "conflicts").await, stat(&service, "duplicates").await), (1, 1));
        assert_eq!(metric(&service, r#"inbox_messages_total{consumer="notify-svc",outcome="conflict"}"#).await, 1.0);
        let (_, dead) = verb_json(&setting, &["message", "list"]);
        assert!(dead[0]["reason"].as_str().unwrap().starts_with("conflict: "), "{dead}");
        eventually("the alarm's gauge says so", async || metric(&service, r#"inbox_dead_messages{consumer="notify-svc"}"#).await == 1.0).await;
    }

    async fn a_payload_in_other_spacing_and_key_order_is_the_same_event(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let (event, early) = (Published::created(), Published::cancelled_of(OrderId::generate()));
        let dumped = |event: &Published| {
            let members: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(&event.body).unwrap();
            let members: Vec<_> = members.iter().rev().map(|(name, value)| format!("{name:?} : {value}")).collect();
            Published { body: format!(" {{ {} }}\n", members.join(" ,\n")), ..event.clone() }
        };
        assert_ne!(dumped(&event).body, event.body);
        setting.publish(&[&event, &early]).await;
        setting.until_count("inbox", 1).await;
        setting.until_count("inbox_parked", 1).await;
        setting.publish(&[&dumped(&event), &dumped(&early)]).await;
        eventually("both are duplicates", async || stat(&service, "duplicates").await == 2).await;
        assert_eq!((setting.count("notifications").await, setting.count("inbox_dead").await), (1, 0));
    }

    async fn a_tombstone_moves_the_gate_on_without_an_effect(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let order_id = OrderId::generate();
        let created = Published::created_of(order_id, "tea");
        setting.publish(&[&Published::cancelled_of(order_id)]).await;
        eventually("the second version waits", async || stat(&service, "early").await > 0).await;
        setting.publish(&[&created.tombstone(), &created.tombstone()]).await;
        setting.until_count("notifications", 1).await;
        setting.until_all_answered().await;
        assert_eq!((stat(&service, "tombstones").await, stat(&service, "duplicates").await), (1, 1));
        // The event itself, should it turn up after all, stays discarded.
        setting.publish(&[&created]).await;
        eventually("it is a duplicate", async || stat(&service, "duplicates").await == 2).await;
        assert_eq!((setting.count("notifications").await, setting.count("inbox_dead").await), (1, 0));
    }

    async fn a_parked_event_without_a_version_that_comes_again_is_no_conflict(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().env("DELIVERIES_MAX", "1000").start().await;
        let check = "ALTER TABLE notifications ADD CONSTRAINT no_tea CHECK (product NOT LIKE '%tea')";
        sqlx::query(AssertSqlSafe(check.to_owned())).execute(&setting.pool).await.unwrap();
        let mut event = Published::created_of(OrderId::generate(), "tea");
        event.envelope.aggregate_version = None;
        let mut other = Published::created_of(event.order_id(), "other tea");
        other.envelope = event.envelope.clone();
        setting.publish(&[&event]).await;
        setting.until_count("inbox_parked", 1).await;
        setting.publish(&[&event, &event]).await;
        eventually("both are duplicates", async || stat(&service, "duplicates").await == 2).await;
        assert_eq!((stat(&service, "conflicts").await, setting.count("inbox_dead").await), (0, 0));
        setting.publish(&[&other]).await;
        eventually("another event with its id is one", async || stat(&service, "conflicts").await == 1).await;
        let check = "ALTER TABLE notifications DROP CONSTRAINT no_tea";
        sqlx::query(AssertSqlSafe(check.to_owned())).execute(&setting.pool).await.unwrap();
        setting.until_count("notifications WHERE product = 'tea'", 1).await;
        setting.until_count("inbox_parked", 0).await;
    }

    async fn an_effect_that_the_schema_refuses_costs_only_its_own_message_and_ends_dead(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().env("DELIVERIES_MAX", "3").start().await;
        assert!(service.terminate().await.success());
        let check = "ALTER TABLE notifications ADD CONSTRAINT no_tea CHECK (product <> 'tea')";
        sqlx::query(AssertSqlSafe(check.to_owned())).execute(&setting.pool).await.unwrap();
        let tea = Published::created_of(OrderId::generate(), "tea");
        setting.publish(&[&Published::created(), &tea, &Published::created()]).await;
        service.restart().await;
        setting.until_count("notifications", 2).await;
        setting.until_count("inbox_dead", 1).await;
        setting.until_all_answered().await;
        eventually("its attempts are counted", async || {
            (stat(&service, "failed").await, stat(&service, "dead").await) == (2, 1)
        })
        .await;
        assert_eq!(stat(&service, "naks").await, 0, "it was parked between its attempts, not sent back");
        assert_eq!(setting.count("inbox").await, 2);
    }
}
