//! Early events are kept in the database, whole, and hold up nobody: neither others nor the consumer.

use std::time::Duration;

use schema::ids::OrderId;
use sqlx::AssertSqlSafe;
use stack::testing::{eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, at_version, metric, stat, verb_json};

/// More than the consumer may leave unanswered (`ACK_PENDING_MAX` is 4,096).
const MANY: usize = 4500;
const WITHIN: Duration = Duration::from_secs(60);

async fn publish(setting: &Setting, events: &[Published]) {
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
}

async fn until_notified(setting: &Setting, rows: usize) {
    let rows = i64::try_from(rows).unwrap();
    let what = format!("{rows} are notified");
    eventually_within(WITHIN, &what, async || setting.count("notifications").await == rows).await;
}

/// No event had its effect before an earlier version of its order.
async fn assert_in_order(setting: &Setting) {
    let disorder = "inbox AS i JOIN notifications AS earlier ON earlier.event_id = i.event_id
                    JOIN notifications AS later ON later.order_id = earlier.order_id
                    JOIN inbox AS j ON j.event_id = later.event_id
                    WHERE i.aggregate_version < j.aggregate_version AND earlier.created_at > later.created_at";
    assert_eq!(setting.count(disorder).await, 0);
}

both_engines! {
    async fn more_early_events_than_may_be_unanswered_hold_up_nobody(engine: Engine) {
        let setting = Setting::new(engine).await;
        let one = setting.service().env("EMAIL_TRANSPORT", "log").start().await;
        let _other = setting.service().env("EMAIL_TRANSPORT", "log").start().await;
        let orders: Vec<_> = (0..MANY).map(|_| OrderId::generate()).collect();
        publish(&setting, &orders.iter().map(|order| at_version(2, *order)).collect::<Vec<_>>()).await;
        eventually_within(WITHIN, "all are parked", async || setting.count("inbox_parked").await == 4500).await;
        setting.until_all_answered().await;
        publish(&setting, &[Published::created()]).await;
        eventually_within(Duration::from_secs(5), "the good order is notified", async || {
            setting.count("notifications").await == 1
        })
        .await;
        eventually("the gauge says so", async || metric(&one, r#"inbox_parked_events{consumer="notify-svc"}"#).await == 4500.0).await;
        // Some come at once, as duplicates of what is parked, before the missing ones do.
        publish(&setting, &orders.iter().map(|order| at_version(1, *order)).collect::<Vec<_>>()).await;
        until_notified(&setting, 2 * MANY + 1).await;
        setting.until_all_answered().await;
        assert_in_order(&setting).await;
        assert_eq!((setting.count("inbox_parked").await, setting.count("inbox_dead").await), (0, 0));
        assert_eq!(setting.count("inbox").await, 9001);
    }

    async fn a_long_chain_of_parked_events_follows_the_one_that_was_missing(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().env("EMAIL_TRANSPORT", "log").start().await;
        let order = OrderId::generate();
        let mut events: Vec<_> = (1..=1200).map(|version| at_version(version, order)).collect();
        events.reverse();
        let first = events.pop().unwrap();
        publish(&setting, &events).await;
        eventually_within(WITHIN, "all are parked", async || setting.count("inbox_parked").await == 1199).await;
        publish(&setting, &events[..300]).await;
        eventually_within(WITHIN, "repeats are duplicates", async || stat(&service, "duplicates").await == 300).await;
        publish(&setting, &[first]).await;
        until_notified(&setting, 1200).await;
        setting.until_count("inbox_parked", 0).await;
        setting.until_count("inbox_gate WHERE version = 1200", 1).await;
        eventually("each is counted once", async || stat(&service, "processed").await == 1200).await;
    }

    async fn kills_lose_and_repeat_nothing_that_is_parked(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().env("EMAIL_TRANSPORT", "log").env("BATCH_SIZE_MAX", "50").start().await;
        let orders: Vec<_> = (0..30).map(|_| OrderId::generate()).collect();
        for version in (1..=20).rev() {
            publish(&setting, &orders.iter().map(|order| at_version(version, *order)).collect::<Vec<_>>()).await;
            if version % 3 == 1 {
                service.kill().await;
                service.restart().await;
            }
        }
        until_notified(&setting, 600).await;
        setting.until_count("inbox_parked", 0).await;
        setting.until_count("inbox_gate WHERE version = 20", 30).await;
        assert_eq!((setting.count("inbox").await, setting.count("inbox_dead").await), (600, 0));
    }

    async fn a_parked_event_whose_effect_is_refused_costs_only_itself(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().env("DELIVERIES_MAX", "3").start().await;
        let check = "ALTER TABLE notifications ADD CONSTRAINT none CHECK (event_type <> 'order.cancelled')";
        sqlx::query(AssertSqlSafe(check.to_owned())).execute(&setting.pool).await.unwrap();
        let orders: Vec<_> = (0..20).map(|_| OrderId::generate()).collect();
        publish(&setting, &orders.iter().map(|order| at_version(2, *order)).collect::<Vec<_>>()).await;
        setting.until_count("inbox_parked", 20).await;
        publish(&setting, &orders.iter().map(|order| at_version(1, *order)).collect::<Vec<_>>()).await;
        until_notified(&setting, 20).await;
        setting.until_count("inbox_dead", 20).await;
        setting.until_all_answered().await;
        assert_eq!((setting.count("inbox_parked").await, stat(&service, "naks").await), (0, 0));
        let (_, dead) = verb_json(&setting, &["message", "list"]);
        assert!(dead[0]["reason"].as_str().unwrap().starts_with("failed at attempt 3: "), "{dead}");
    }
}
