//! Effects of one order happen in the order of its versions.

use schema::ids::OrderId;
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, at_version, get, stat, verb};

both_engines! {
    async fn an_event_ahead_of_its_turn_waits_for_the_earlier_one(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let order_id = OrderId::generate();
        setting.publish(&[&Published::cancelled_of(order_id)]).await;
        eventually("the event is parked", async || stat(&service, "early").await > 0).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("notifications").await, 0);
        assert_eq!(setting.count("inbox").await, 0);
        setting.publish(&[&Published::created_of(order_id, "Espresso machine")]).await;
        setting.until_count("notifications", 2).await;
        setting.until_all_answered().await;
        let listed = get(&service, &format!("/api/notifications?order_id={order_id}")).await;
        let types: Vec<_> = listed["notifications"].as_array().unwrap().iter().map(|one| &one["event_type"]).collect();
        assert_eq!(types, ["order.cancelled", "order.created"], "newest first");
    }

    async fn an_event_ahead_of_its_turn_holds_up_no_other_order(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        assert!(service.terminate().await.success());
        let (ahead, others) = (Published::cancelled_of(OrderId::generate()), [Published::created(), Published::created()]);
        setting.publish(&[&others[0], &ahead, &others[1]]).await;
        service.restart().await;
        setting.until_count("notifications", 2).await;
        setting.until_all_answered().await;
        let parked: Vec<u32> =
            sqlx::query_scalar("SELECT aggregate_version FROM inbox_parked").fetch_all(&setting.pool).await.unwrap();
        assert_eq!(parked, [2]);
    }

    async fn another_event_with_a_used_version_is_kept_whole_as_a_conflict(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let order_id = OrderId::generate();
        let (first, second) = (Published::created_of(order_id, "a"), Published::created_of(order_id, "b"));
        let (early, other) = (at_version(3, order_id), at_version(3, order_id));
        setting.publish(&[&first, &second, &early, &other]).await;
        setting.until_count("inbox_dead", 2).await;
        setting.until_all_answered().await;
        setting.publish(&[&second, &other, &first, &early]).await;
        eventually("the repeats are told apart", async || stat(&service, "duplicates").await == 2).await;
        setting.until_all_answered().await;
        assert_eq!((setting.count("notifications").await, setting.count("inbox_parked").await), (1, 1));
        let kept: Vec<(Vec<u8>, String)> =
            sqlx::query_as("SELECT payload, reason FROM inbox_dead ORDER BY id").fetch_all(&setting.pool).await.unwrap();
        assert!(kept.iter().any(|(payload, _)| payload == second.body.as_bytes()), "{kept:?}");
        assert!(kept.iter().any(|(payload, _)| payload == other.body.as_bytes()), "{kept:?}");
        assert!(kept.iter().all(|(_, reason)| reason.starts_with("conflict: version ")), "{kept:?}");
        assert_eq!(stat(&service, "conflicts").await, 4);
        let (is_requeued, said) = verb(&setting, &["message", "requeue", "1", "--reason", "x"]);
        assert!(!is_requeued && said.contains("conflict"), "{said}");
        assert!(verb(&setting, &["message", "discard", "1", "--reason", "x"]).0);
    }
}
