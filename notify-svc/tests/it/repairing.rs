//! The consumer repairs itself when it no longer fits its stream: each fault is done to a real nats-server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schema::names;
use stack::testing::{Service, copy_folder, eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, metric, stat};

/// What the issue asks for.
pub(crate) const REPAIRED_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn repairs(service: &Service, reason: &str) -> f64 {
    metric(service, &format!(r#"inbox_consumer_repairs_total{{consumer="notify-svc",reason="{reason}"}}"#)).await
}

pub(crate) async fn until_repaired(service: &Service, reason: &str) {
    eventually_within(REPAIRED_WITHIN, &format!("repaired: {reason}"), async || repairs(service, reason).await >= 1.0)
        .await;
}

pub(crate) fn events(count: usize) -> Vec<Published> {
    (0..count).map(|_| Published::created()).collect()
}

/// Five events, processed and acknowledged.
pub(crate) async fn processed(setting: &Setting) -> Vec<Published> {
    let events = events(5);
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    setting.until_count("notifications", 5).await;
    setting.until_all_answered().await;
    events
}

/// The folder of the stream in a broker's store.
fn stream_folder(store: &Path) -> PathBuf {
    store.join("jetstream/$G/streams").join(names::STREAM)
}

#[tokio::test]
async fn a_deleted_consumer_goes_on_after_the_last_message_that_was_read() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    processed(&setting).await;
    let stream = setting.jetstream().await.get_stream(names::STREAM).await.unwrap();
    stream.delete_consumer(names::NOTIFY_DURABLE).await.unwrap();
    until_repaired(&service, "consumer_gone").await;
    setting.publish(&[&Published::created()]).await;
    setting.until_count("notifications", 6).await;
    setting.until_all_answered().await;
    assert_eq!(stat(&service, "duplicates").await, 0);
}

#[tokio::test]
async fn a_recreated_stream_is_read_from_its_first_message() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    let old = processed(&setting).await;
    setting.jetstream().await.delete_stream(names::STREAM).await.unwrap();
    setting.create_stream().await;
    // What the relay's healing does: the lost events again, then new ones.
    let new = events(3);
    setting.publish(&old.iter().chain(&new).collect::<Vec<_>>()).await;
    until_repaired(&service, "stream_rewritten").await;
    setting.until_count("notifications", 8).await;
    setting.until_all_answered().await;
    assert_eq!(stat(&service, "duplicates").await, 5);
}

#[tokio::test]
async fn another_broker_under_the_service_is_read_from_its_first_message() {
    let mut setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    let old = processed(&setting).await;
    setting.nats.stop().await;
    fs::remove_dir_all(setting.nats.store()).unwrap();
    setting.nats.restart().await;
    setting.create_stream().await;
    setting.publish(&old[2..].iter().chain(&events(1)).collect::<Vec<_>>()).await;
    until_repaired(&service, "stream_rewritten").await;
    setting.until_count("notifications", 6).await;
    setting.until_all_answered().await;
}

/// The stream is rewound, and the consumer is not: it would wait for messages that it believes to have read.
#[tokio::test]
async fn a_consumer_that_has_read_further_than_its_rewound_stream_starts_over() {
    let mut setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    processed(&setting).await;
    let earlier = tempfile::tempdir().unwrap();
    setting.nats.stop().await;
    copy_folder(&stream_folder(&setting.nats.store()).join("msgs"), earlier.path());
    setting.nats.restart().await;
    setting.publish(&events(4).iter().collect::<Vec<_>>()).await;
    setting.until_count("notifications", 9).await;
    setting.until_all_answered().await;

    setting.nats.stop().await;
    let messages = stream_folder(&setting.nats.store()).join("msgs");
    fs::remove_dir_all(&messages).unwrap();
    copy_folder(earlier.path(), &messages);
    setting.nats.restart().await;
    eventually_within(REPAIRED_WITHIN, "the rewound stream is noticed", async || {
        repairs(&service, "stream_rewritten").await >= 1.0
    })
    .await;
    // Sequences that had been read before carry other events now.
    setting.publish(&events(2).iter().collect::<Vec<_>>()).await;
    eventually_within(REPAIRED_WITHIN, "the new events have their effect", async || {
        setting.count("notifications").await == 11
    })
    .await;
    setting.until_all_answered().await;
    assert_eq!(stat(&service, "processed").await, 11);
}

both_engines! {
    async fn two_processes_on_one_broken_consumer_both_go_on_and_repeat_no_effect(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = || setting.service().env("BATCH_SIZE_MAX", "5").env("EMAIL_TRANSPORT", "log");
        let (one, other) = (service().start().await, service().start().await);
        let mut all = events(40);
        setting.publish(&all.iter().collect::<Vec<_>>()).await;
        setting.until_count("notifications", 40).await;
        for is_stream_lost in [false, true] {
            let jetstream = setting.jetstream().await;
            if is_stream_lost {
                jetstream.delete_stream(names::STREAM).await.unwrap();
                setting.create_stream().await;
                setting.publish(&all.iter().collect::<Vec<_>>()).await;
            } else {
                let stream = jetstream.get_stream(names::STREAM).await.unwrap();
                stream.delete_consumer(names::NOTIFY_DURABLE).await.unwrap();
            }
            let (one_before, other_before) = (stat(&one, "processed").await, stat(&other, "processed").await);
            eventually("both go on", async || {
                let new = events(10);
                setting.publish(&new.iter().collect::<Vec<_>>()).await;
                all.extend(new);
                stat(&one, "processed").await > one_before && stat(&other, "processed").await > other_before
            })
            .await;
            setting.until_count("notifications", i64::try_from(all.len()).unwrap()).await;
            setting.until_all_answered().await;
        }
        let processed = stat(&one, "processed").await + stat(&other, "processed").await;
        assert_eq!(processed, all.len() as u64, "each event once, by one of them");
        let mut repaired = 0.0;
        for service in [&one, &other] {
            repaired += repairs(service, "consumer_gone").await + repairs(service, "stream_rewritten").await;
        }
        assert!(repaired >= 2.0, "{repaired} repairs");
    }
}

#[tokio::test]
async fn changed_settings_are_applied_to_the_consumer() {
    let setting = Setting::new(Engine::MySql).await;
    let mut service = setting.service().env("ACK_WAIT", "40s").start().await;
    assert!(service.terminate().await.success());
    let _service = setting.service().env("ACK_WAIT", "50s").env("ACK_PENDING_MAX", "2000").start().await;
    let config = setting.consumer_info().await.config;
    assert_eq!((config.ack_wait, config.max_ack_pending), (Duration::from_secs(50), 2000));
}
