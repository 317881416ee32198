//! Inbox rows go when no replay can reach them any more, and not before; what customers were told goes by age.

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

/// 900 of each, most of them old; six of the notifications have an email that waits or is dead.
async fn fill_with_old_notifications(setting: &Setting) {
    let numbers = "WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 900)";
    let id = "UNHEX(LPAD(HEX(n), 32, '0'))";
    for statement in [
        format!(
            "INSERT INTO notifications (id, event_id, event_type, order_id, product, quantity, created_at)
             {numbers} SELECT {id}, {id}, 'order.created', {id}, 'tea', 1, UTC_TIMESTAMP(6) - INTERVAL 100 DAY
             FROM numbers"
        ),
        format!(
            "INSERT INTO effect (id, queue, subject, kind, body, state, next_attempt_at, ended_at)
             {numbers} SELECT {id}, 'nobody', 'old', 'order.created', '{{}}', ELT(n % 3 + 1, 'pending', 'dead', 'done'),
                              UTC_TIMESTAMP(6) + INTERVAL 1 DAY, UTC_TIMESTAMP(6)
             FROM numbers WHERE n <= 9"
        ),
        format!(
            "INSERT INTO suppression_action (actor, action, address, cause, reason, acted_at)
             {numbers} SELECT 'eve', 'add', 'ada@example.com', 'operator', 'old', UTC_TIMESTAMP(6) - INTERVAL IF(n > 10, 100, 80) DAY
             FROM numbers"
        ),
        format!(
            "INSERT INTO inbox_dead (consumer, stream_seq, stored_at, subject, headers, payload, reason, resolution, resolved_at)
             {numbers} SELECT '{}', n, UTC_TIMESTAMP(6), 'order.created', '[]', '{{}}', 'old',
                              IF(n > 10, 'discarded', NULL), IF(n > 10, UTC_TIMESTAMP(6) - INTERVAL IF(n > 20, 50, 40) DAY, NULL)
             FROM numbers",
            names::NOTIFY_DURABLE
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&setting.pool).await.unwrap();
    }
}

both_engines! {
    async fn old_notifications_and_dead_messages_that_were_decided_are_purged_and_no_others(engine: Engine) {
        let setting = Setting::new(engine).await;
        fill_with_old_notifications(&setting).await;
        limit_stream(&setting, 37 * DAY).await;
        let _service = setting.service().start().await;
        // Six have an email that waits or is dead.
        setting.until_count("notifications", 6).await;
        setting.until_count("suppression_action", 10).await;
        setting.until_count("inbox_dead", 20).await;
        assert_eq!(setting.count("effect").await, 9);
    }

    async fn notifications_are_kept_for_ever_if_that_is_wanted(engine: Engine) {
        let setting = Setting::new(engine).await;
        fill_with_old_notifications(&setting).await;
        limit_stream(&setting, 37 * DAY).await;
        let _service = setting.service().env("NOTIFICATION_RETENTION", "0s").start().await;
        setting.until_count("inbox_dead", 20).await;
        assert_eq!((setting.count("notifications").await, setting.count("suppression_action").await), (900, 900));
    }

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
