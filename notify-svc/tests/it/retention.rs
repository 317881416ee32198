//! Inbox rows go when no replay can reach them any more, and not before.

use std::time::Duration;

use async_nats::jetstream::stream;
use schema::names;
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::setting::Setting;

const DAY: Duration = Duration::from_secs(86_400);

async fn fill_with_old_rows(setting: &Setting) {
    for days in [50, 40] {
        sqlx::query(
            "INSERT INTO inbox (consumer, event_id, event_type, aggregate_type, aggregate_id, payload_sha256, stream_seq,
                                received_at)
             WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 900)
             SELECT ?, UNHEX(REPLACE(UUID(), '-', '')), 'order.created', 'order', 'o', REPEAT('h', 32), n,
                    UTC_TIMESTAMP(6) - INTERVAL ? DAY
             FROM numbers",
        )
        .bind(names::NOTIFY_DURABLE)
        .bind(days)
        .execute(&setting.pool)
        .await
        .unwrap();
    }
}

async fn limit_stream(setting: &Setting, max_age: Duration) {
    let subjects = names::STREAM_SUBJECTS.iter().map(|subject| (*subject).to_owned()).collect();
    let config = stream::Config { name: names::STREAM.to_owned(), subjects, max_age, ..stream::Config::default() };
    setting.jetstream().await.update_stream(config).await.unwrap();
}

both_engines! {
    async fn inbox_rows_are_purged_when_no_replay_can_reach_them(engine: Engine) {
        let setting = Setting::new(engine).await;
        fill_with_old_rows(&setting).await;
        limit_stream(&setting, 37 * DAY).await;
        let _service = setting.service().start().await;
        setting.until_count("inbox", 900).await;
    }

    async fn nothing_is_purged_that_the_outbox_and_then_the_stream_could_still_deliver(engine: Engine) {
        let setting = Setting::new(engine).await;
        fill_with_old_rows(&setting).await;
        limit_stream(&setting, 38 * DAY).await;
        let mut service = setting.service().start().await;
        eventually("the service says so", async || service.log().contains("inbox is not purged")).await;
        assert_eq!(setting.count("inbox").await, 1800);
        assert!(service.terminate().await.success());
        let _shorter = setting.service().env("OUTBOX_RETENTION", "6d").start().await;
        setting.until_count("inbox", 900).await;
    }

    async fn nothing_is_purged_while_the_stream_keeps_its_messages_for_ever(engine: Engine) {
        let setting = Setting::new(engine).await;
        fill_with_old_rows(&setting).await;
        let service = setting.service().start().await;
        eventually("the service says so", async || service.log().contains("inbox is not purged")).await;
        assert_eq!(setting.count("inbox").await, 1800);
    }
}
