//! Effects of one order happen in the order of its versions.

use schema::ids::OrderId;
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, get, stat};

both_engines! {
    async fn an_event_ahead_of_its_turn_waits_for_its_elder(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let order_id = OrderId::generate();
        setting.publish(&[&Published::cancelled_of(order_id)]).await;
        eventually("the event is sent back", async || stat(&service, "early").await > 0).await;
        assert_eq!(setting.count("notifications").await, 0);
        assert_eq!(setting.count("inbox").await, 0);
        setting.publish(&[&Published::created_of(order_id, "Espresso machine")]).await;
        setting.until_count("notifications", 2).await;
        setting.until_all_answered().await;
        let listed = get(&service, &format!("/api/notifications?order_id={order_id}")).await;
        let types: Vec<_> = listed["notifications"].as_array().unwrap().iter().map(|one| &one["event_type"]).collect();
        assert_eq!(types, ["order.created", "order.cancelled"]);
    }

    async fn an_event_ahead_of_its_turn_holds_up_no_other_order(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        assert!(service.terminate().await.success());
        let (ahead, others) = (Published::cancelled_of(OrderId::generate()), [Published::created(), Published::created()]);
        setting.publish(&[&others[0], &ahead, &others[1]]).await;
        service.restart().await;
        setting.until_count("notifications", 2).await;
        eventually("only the early one is not answered", async || setting.consumer_info().await.num_ack_pending == 1).await;
        let waiting: Vec<u32> =
            sqlx::query_scalar("SELECT aggregate_version FROM inbox_waiting").fetch_all(&setting.pool).await.unwrap();
        assert_eq!(waiting, [2]);
    }

    async fn another_event_with_a_used_version_has_no_effect(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let order_id = OrderId::generate();
        let (first, second) = (Published::created_of(order_id, "a"), Published::created_of(order_id, "b"));
        setting.publish(&[&first, &second]).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("notifications").await, 1);
    }
}
