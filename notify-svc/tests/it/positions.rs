//! The position beside the effects: whatever a restore, another hand or a limit took away is noticed, and read or told.

use std::fs;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, IntoConsumerConfig, pull};
use async_nats::jetstream::stream;
use futures::StreamExt;
use schema::names;
use sqlx::AssertSqlSafe;
use stack::testing::{MySql, Service, copy_folder, eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::repairing::{REPAIRED_WITHIN, events, processed, repairs};
use crate::setting::{Published, Setting, get, metric, stat, verb, verb_json};

async fn publish(setting: &Setting, count: usize) -> Vec<Published> {
    let events = events(count);
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    events
}

async fn until_noticed(setting: &Setting, rows: i64) {
    let what = format!("{rows} notifications within ten seconds");
    eventually_within(REPAIRED_WITHIN, &what, async || setting.count("notifications").await == rows).await;
}

async fn stream(setting: &Setting) -> stream::Stream {
    setting.jetstream().await.get_stream(names::STREAM).await.unwrap()
}

async fn execute(setting: &Setting, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&setting.pool).await.unwrap();
}

/// The consumer's settings are ours, by what the broker says.
async fn until_ours(setting: &Setting) {
    eventually_within(REPAIRED_WITHIN, "the consumer is as it was", async || {
        let info = stream(setting).await.consumer_info(names::NOTIFY_DURABLE).await;
        info.is_ok_and(|info| {
            let config = info.config;
            config.filter_subject.is_empty()
                && !config.headers_only
                && config.max_deliver == -1
                && config.ack_policy == AckPolicy::Explicit
                && config.ack_wait == Duration::from_secs(30)
                && config.max_ack_pending == 4096
                && config.inactive_threshold.is_zero()
                && config.backoff.is_empty()
                && !info.paused
                && matches!(config.deliver_policy, DeliverPolicy::All | DeliverPolicy::ByStartSequence { .. })
        })
    })
    .await;
}

both_engines! {
    async fn a_restored_database_reads_again_from_where_it_stood(engine: Engine) {
        let mut server = MySql::start(engine).await;
        let setting = Setting::on(&server).await;
        let service = setting.service().start().await;
        publish(&setting, 50).await;
        setting.until_count("notifications", 50).await;
        setting.until_all_answered().await;
        eventually("the position is known", async || {
            get(&service, "/api/events/status").await["position"]["floor"] == 50
        })
        .await;
        server.stop().await;
        let earlier = tempfile::tempdir().unwrap();
        copy_folder(server.data(), earlier.path());
        server.restart().await;
        publish(&setting, 10).await;
        setting.until_count("notifications", 60).await;
        setting.until_all_answered().await;

        server.stop().await;
        fs::remove_dir_all(server.data()).unwrap();
        copy_folder(earlier.path(), server.data());
        server.restart().await;
        eventually_within(REPAIRED_WITHIN * 2, "the effects are there again", async || {
            let counted = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM notifications").fetch_one(&setting.pool).await;
            counted.is_ok_and(|count| count == 60)
        })
        .await;
        assert!(repairs(&service, "events_skipped").await >= 1.0);
        assert_eq!(stat(&service, "duplicates").await, 0, "nothing was read again that the database knew");
        publish(&setting, 1).await;
        setting.until_count("notifications", 61).await;
    }

    async fn effects_deleted_by_hand_are_done_again(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        publish(&setting, 10).await;
        setting.until_count("notifications", 10).await;
        setting.until_all_answered().await;
        assert!(service.terminate().await.success());
        execute(&setting, "DELETE FROM inbox ORDER BY stream_seq DESC LIMIT 5").await;
        for (table, column) in [("inbox_gate", "aggregate_id"), ("notifications", "event_id")] {
            let rest = format!("(SELECT {column} FROM inbox)");
            execute(&setting, &format!("DELETE FROM {table} WHERE {column} NOT IN {rest}")).await;
        }
        assert_eq!(setting.count("notifications").await, 5);
        service.restart().await;
        until_noticed(&setting, 10).await;
        assert!(repairs(&service, "effects_gone").await >= 1.0);
    }

    async fn history_holds_up_no_new_event_and_survives_a_crash(engine: Engine) {
        const HISTORY: i64 = 20_000;
        let setting = Setting::new(engine).await;
        let quiet = || setting.service().env("EMAIL_TRANSPORT", "log").env("LOG_FILTER", "warn,inbox::consumer=debug");
        let mut service = quiet().start().await;
        publish(&setting, 20_000).await;
        eventually_within(Duration::from_secs(60), "all is processed", async || {
            setting.count("notifications").await == HISTORY
        })
        .await;
        setting.until_all_answered().await;
        assert!(service.terminate().await.success());
        for table in ["inbox", "inbox_gate", "notifications", "inbox_position", "inbox_read"] {
            execute(&setting, &format!("DELETE FROM {table}")).await;
        }
        let new = publish(&setting, 1).await;
        service.restart().await;
        let is_new_there = async || {
            let query = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM notifications WHERE order_id = ?");
            query.bind(new[0].order_id()).fetch_one(&setting.pool).await.unwrap() == 1
        };
        eventually_within(REPAIRED_WITHIN, "the new event has its effect", is_new_there).await;
        let done = setting.count("notifications").await;
        assert!(done < HISTORY, "it did not wait for history: {done}");
        service.kill().await;
        let earlier = "SELECT COUNT(*) FROM notifications
                       WHERE created_at < (SELECT created_at FROM notifications WHERE order_id = ?)";
        let query = sqlx::query_scalar::<_, i64>(earlier).bind(new[0].order_id());
        let earlier = query.fetch_one(&setting.pool).await.unwrap();
        assert!(earlier < HISTORY / 4, "{earlier} of history came before the new event");
        let other = quiet().start().await;
        eventually_within(Duration::from_secs(90), "all of history is read", async || {
            setting.count("notifications").await == HISTORY + 1
        })
        .await;
        assert!(stat(&other, "duplicates").await < 600, "it went on where the other one stopped");
    }
}

/// Two processes, one of which dies; somebody replaces the consumer or edits it while events flow.
async fn survives(change: fn(&mut consumer::Config), is_replaced: bool) {
    let setting = Setting::new(Engine::MySql).await;
    let service = || setting.service().env("BATCH_SIZE_MAX", "20").env("EMAIL_TRANSPORT", "log");
    let (mut one, other) = (service().start().await, service().start().await);
    publish(&setting, 40).await;
    setting.until_count("notifications", 40).await;
    let stream = stream(&setting).await;
    let mut config = stream.consumer_info(names::NOTIFY_DURABLE).await.unwrap().config;
    if is_replaced {
        stream.delete_consumer(names::NOTIFY_DURABLE).await.unwrap();
        config = pull::Config { durable_name: Some(names::NOTIFY_DURABLE.to_owned()), ..pull::Config::default() }
            .into_consumer_config();
        publish(&setting, 7).await;
    }
    change(&mut config);
    stream.create_consumer(config).await.unwrap();
    let publishing = async {
        publish(&setting, 100).await;
        let created = publish(&setting, 1).await;
        setting.publish(&[&Published::cancelled_of(created[0].order_id())]).await;
    };
    tokio::join!(publishing, one.kill());
    let all = if is_replaced { 149 } else { 142 };
    until_ours(&setting).await;
    eventually_within(Duration::from_secs(45), "each event has its effect", async || {
        setting.count("notifications").await == all
    })
    .await;
    assert_eq!(setting.count("inbox_dead").await, 0);
    let repaired = repairs(&other, "consumer_altered").await + repairs(&other, "consumer_gone").await;
    assert!(repaired >= 1.0, "{}", other.log());
}

#[tokio::test]
async fn a_consumer_replaced_by_one_that_reads_only_new_events_loses_none() {
    survives(|config| config.deliver_policy = DeliverPolicy::New, true).await;
}

#[tokio::test]
async fn a_consumer_replaced_by_one_of_another_kind_is_replaced_again() {
    survives(|config| config.ack_policy = AckPolicy::None, true).await;
}

#[tokio::test]
async fn a_consumer_that_somebody_filtered_loses_no_event() {
    survives(|config| config.filter_subject = "order.created".to_owned(), false).await;
}

#[tokio::test]
async fn a_consumer_that_brings_headers_only_stores_nothing_dead() {
    survives(|config| config.headers_only = true, false).await;
}

#[tokio::test]
async fn a_consumer_that_delivers_once_loses_no_event() {
    survives(
        |config| {
            config.max_deliver = 1;
            config.ack_wait = Duration::from_secs(1);
        },
        false,
    )
    .await;
}

#[tokio::test]
async fn a_consumer_with_other_limits_is_set_right() {
    survives(
        |config| {
            config.max_ack_pending = 1;
            config.inactive_threshold = Duration::from_secs(3600);
            config.backoff = vec![Duration::from_secs(1), Duration::from_secs(2)];
            config.max_deliver = 5;
        },
        false,
    )
    .await;
}

#[tokio::test]
async fn a_paused_consumer_goes_on() {
    let setting = Setting::new(Engine::MySql).await;
    let _service = setting.service().start().await;
    processed(&setting).await;
    let until = setting.consumer_info().await.created + Duration::from_secs(3600);
    stream(&setting).await.pause_consumer(names::NOTIFY_DURABLE, until).await.unwrap();
    publish(&setting, 1).await;
    until_noticed(&setting, 6).await;
    until_ours(&setting).await;
}

/// Somebody takes messages of the consumer and acknowledges them.
#[tokio::test]
async fn events_that_somebody_else_acknowledged_have_their_effect() {
    let setting = Setting::new(Engine::MySql).await;
    let mut service = setting.service().start().await;
    processed(&setting).await;
    assert!(service.terminate().await.success());
    publish(&setting, 4).await;
    let mut taken = setting.consumer().await.fetch().max_messages(3).messages().await.unwrap();
    while let Some(message) = taken.next().await {
        message.unwrap().double_ack().await.unwrap();
    }
    service.restart().await;
    until_noticed(&setting, 9).await;
    assert!(repairs(&service, "events_skipped").await >= 1.0);
}

#[tokio::test]
async fn messages_that_a_limit_dropped_unread_are_told() {
    let setting = Setting::new(Engine::MySql).await;
    let mut service = setting.service().start().await;
    processed(&setting).await;
    assert!(service.terminate().await.success());
    let stream = stream(&setting).await;
    let mut config = stream.cached_info().config.clone();
    config.max_messages_per_subject = 2;
    let created = publish(&setting, 1).await;
    setting.publish(&[&Published::cancelled_of(created[0].order_id())]).await;
    publish(&setting, 9).await;
    setting.jetstream().await.update_stream(config).await.unwrap();
    service.restart().await;
    let series = r#"inbox_gone_messages{consumer="notify-svc"}"#;
    eventually_within(REPAIRED_WITHIN, "what is gone is told", async || metric(&service, series).await == 8.0).await;
    assert_eq!(get(&service, "/api/events/status").await["position"]["gone"], 8);
    let (is_success, status) = verb_json(&setting, &["status"]);
    assert!(is_success && status["position"]["gone"] == 8, "{status}");
    assert!(service.log().contains("the stream dropped messages before they were read"));
}

async fn until_read(service: &Service, floor: u64) {
    eventually(&format!("all up to {floor} is read"), async || {
        let position = get(service, "/api/events/status").await["position"].clone();
        position["floor"] == floor && position["unread"] == 0
    })
    .await;
}

#[tokio::test]
async fn an_operator_has_a_part_of_the_stream_read_again() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    processed(&setting).await;
    until_read(&service, 5).await;
    // Rows that no check looks at.
    execute(&setting, "DELETE FROM inbox WHERE stream_seq IN (2, 3)").await;
    let rest = "(SELECT event_id FROM inbox)";
    execute(&setting, &format!("DELETE FROM notifications WHERE event_id NOT IN {rest}")).await;
    execute(&setting, "DELETE FROM inbox_gate WHERE aggregate_id NOT IN (SELECT aggregate_id FROM inbox)").await;
    let (is_success, said) = verb(&setting, &["stream", "reread", "--from-seq", "2", "--reason", "rows were deleted"]);
    assert!(is_success && said == "the stream is read again from sequence 2\n", "{said}");
    until_noticed(&setting, 5).await;
    until_read(&service, 5).await;
    assert_eq!(stat(&service, "duplicates").await, 2, "4 and 5");
    let noted: (u64, String, Option<String>) =
        sqlx::query_as("SELECT from_seq, cause, reason FROM inbox_reread ORDER BY id DESC LIMIT 1")
            .fetch_one(&setting.pool)
            .await
            .unwrap();
    assert_eq!(noted, (2, "operator".to_owned(), Some("rows were deleted".to_owned())));
    let (is_success, said) = verb_json(&setting, &["stream", "reread", "--since", "1h", "--reason", "a test"]);
    assert!(is_success && said["from_sequence"] == 1, "{said}");
    let (is_success, said) = verb(&setting, &["stream", "reread", "--reason", "a test"]);
    assert!(!is_success && said.contains("--from-seq"), "{said}");
    assert_eq!(until_repaired_never(&service).await, 0.0);
}

async fn until_repaired_never(service: &Service) -> f64 {
    repairs(service, "consumer_gone").await + repairs(service, "stream_rewritten").await
}
