//! A database that is slow, that takes small packets only, or in which somebody holds a lock.

use std::time::Duration;

use schema::aggregate::AggregateId;
use schema::ids::OrderId;
use schema::names;
use sqlx::{AssertSqlSafe, Transaction};
use stack::testing::{MySql, eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, at_version, get, verb_json};

const WITHIN: Duration = Duration::from_secs(100);

async fn until_notified(setting: &Setting, rows: i64, within: Duration) {
    let what = format!("{rows} are notified");
    eventually_within(within, &what, async || setting.count("notifications").await == rows).await;
}

/// By its whole key: that locks this row and no other.
async fn lock_gate(setting: &Setting, order: OrderId) -> Transaction<'static, sqlx::MySql> {
    let mut holder = setting.pool.begin().await.unwrap();
    let gate =
        "SELECT version FROM inbox_gate WHERE consumer = ? AND aggregate_type = ? AND aggregate_id = ? FOR UPDATE";
    let lock = sqlx::query(gate).bind(names::NOTIFY_DURABLE).bind(names::ORDER).bind(AggregateId::from(order));
    lock.fetch_one(&mut *holder).await.unwrap();
    holder
}

both_engines! {
    async fn a_batch_that_takes_the_database_too_long_shrinks_and_grows_again(engine: Engine) {
        let setting = Setting::new(engine).await;
        let slow = "CREATE TRIGGER slow BEFORE INSERT ON notifications FOR EACH ROW SET @slept = SLEEP(0.05)";
        sqlx::raw_sql(AssertSqlSafe(slow.to_owned())).execute(&setting.pool).await.unwrap();
        let events: Vec<_> = (0..300).map(|_| Published::created()).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        // 256 events take 12.8 s: longer than an attempt, and than a statement.
        let _service = setting.service().env("EMAIL_TRANSPORT", "log").start().await;
        until_notified(&setting, 300, WITHIN).await;
        setting.until_all_answered().await;
        // As many parked ones, too, follow what was missing.
        let order = OrderId::generate();
        let chain: Vec<_> = (2..=300).map(|version| at_version(version, order)).collect();
        setting.publish(&chain.iter().collect::<Vec<_>>()).await;
        eventually_within(WITHIN, "the chain is parked", async || setting.count("inbox_parked").await == 299).await;
        setting.publish(&[&at_version(1, order)]).await;
        until_notified(&setting, 600, WITHIN).await;
        sqlx::raw_sql("DROP TRIGGER slow").execute(&setting.pool).await.unwrap();
        let events: Vec<_> = (0..2000).map(|_| Published::created()).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        until_notified(&setting, 2600, Duration::from_secs(20)).await;
    }

    async fn a_message_larger_than_the_databases_packets_is_kept_cut_and_the_next_go_on(engine: Engine) {
        let server = MySql::start_with(engine, &["--max-allowed-packet=1M".to_owned()]).await;
        let setting = Setting::on(&server).await;
        let _service = setting.service().start().await;
        let padding = "x".repeat(1_047_900);
        let spoilt = Published { body: padding.clone(), ..Published::created() };
        let mut early = Published::cancelled_of(OrderId::generate());
        early.body = early.body.replacen('{', &format!("{{\"padding\":\"{}\",", &padding[..1_047_500]), 1);
        setting.publish(&[&spoilt, &early, &Published::created()]).await;
        setting.until_count("notifications", 1).await;
        setting.until_count("inbox_dead", 2).await;
        setting.until_all_answered().await;
        let (_, dead) = verb_json(&setting, &["message", "show", "1"]);
        assert_eq!(dead["whole_bytes"], spoilt.body.len());
        assert_eq!(dead["whole_sha256"].as_str().unwrap().len(), 64);
        assert!(dead["body"].as_str().unwrap().len() > 400_000);
        let (is_requeued, said) = verb_json(&setting, &["message", "requeue", "1", "--reason", "x"]);
        assert!(!is_requeued && said[0]["reason"].as_str().unwrap().contains("only the beginning"), "{said}");
    }

    async fn an_order_that_somebody_has_locked_holds_up_no_other(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().env("BATCH_SIZE_MAX", "8").start().await;
        let order = OrderId::generate();
        setting.publish(&[&at_version(1, order)]).await;
        setting.until_count("notifications", 1).await;
        let holder = lock_gate(&setting, order).await;
        // Alone in its batch: nothing shows that the database takes others.
        setting.publish(&[&at_version(2, order)]).await;
        eventually("it waits", async || {
            get(&service, "/api/events/status").await["last_error"]["code"] == "database-unavailable"
        })
        .await;
        let others: Vec<_> = (0..20).map(|_| Published::created()).collect();
        setting.publish(&others.iter().collect::<Vec<_>>()).await;
        until_notified(&setting, 21, WITHIN).await;
        holder.rollback().await.unwrap();
        until_notified(&setting, 22, WITHIN).await;
        assert_eq!((setting.count("inbox_dead").await, setting.count("inbox_parked").await), (0, 0));
    }

    async fn a_parked_event_whose_order_is_locked_holds_up_no_other_parked_one(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().env("DELIVERIES_MAX", "1000").start().await;
        let check = "ALTER TABLE notifications ADD CONSTRAINT none CHECK (product <> 'tea')";
        sqlx::query(AssertSqlSafe(check.to_owned())).execute(&setting.pool).await.unwrap();
        let orders: Vec<_> = (0..5).map(|_| OrderId::generate()).collect();
        let events: Vec<_> = orders.iter().map(|order| at_version(1, *order)).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        setting.until_count("inbox_parked", 5).await;
        let holder = lock_gate(&setting, orders[0]).await;
        let first = "UPDATE inbox_parked SET due_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR WHERE aggregate_id = ?";
        sqlx::query(first).bind(AggregateId::from(orders[0])).execute(&setting.pool).await.unwrap();
        let check = "ALTER TABLE notifications DROP CONSTRAINT none";
        sqlx::query(AssertSqlSafe(check.to_owned())).execute(&setting.pool).await.unwrap();
        until_notified(&setting, 4, WITHIN).await;
        holder.rollback().await.unwrap();
        until_notified(&setting, 5, WITHIN).await;
        assert_eq!((setting.count("inbox_dead").await, setting.count("inbox_parked").await), (0, 0));
    }
}
