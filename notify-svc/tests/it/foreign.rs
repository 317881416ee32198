//! What else is on a shared stream: other kinds of aggregates, and types that have no effect here.

use std::time::Duration;

use async_nats::HeaderMap;
use schema::ids::OrderId;
use stack::testing::{Service, eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, at_version, get, metric, stat};

const WITHIN: Duration = Duration::from_secs(90);

async fn publish(setting: &Setting, events: &[Published]) {
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
}

/// About invoices; nothing of them is as ours would have it.
fn foreign(count: usize) -> Vec<Published> {
    let mut event = Published::created();
    event.envelope.aggregate_type = "invoice".to_owned();
    event.body = "no json".to_owned();
    // One id for all: whatever else is in them is nobody's business.
    vec![event; count]
}

fn of_type(event_type: &str, event: Published) -> Published {
    let mut event = Published { body: "{}".to_owned(), subject: event_type.to_owned(), ..event };
    event.envelope.event_type = event_type.to_owned();
    event
}

async fn until_read(service: &Service, floor: u64) {
    eventually_within(WITHIN, "all is read", async || {
        let position = get(service, "/api/events/status").await["position"].clone();
        position["floor"] == floor && position["unread"] == 0
    })
    .await;
}

both_engines! {
    async fn messages_about_others_are_passed_over_and_leave_nothing(engine: Engine) {
        let setting = Setting::new(engine).await;
        let quiet = || setting.service().env("EMAIL_TRANSPORT", "log").env("LOG_FILTER", "warn");
        let mut service = quiet().start().await;
        let order = OrderId::generate();
        publish(&setting, &[at_version(1, order)]).await;
        publish(&setting, &foreign(10_000)).await;
        publish(&setting, &[of_type("order.shipped", at_version(2, order))]).await;
        publish(&setting, &foreign(10_000)).await;
        publish(&setting, &[at_version(3, order)]).await;
        until_read(&service, 20_003).await;
        setting.until_all_answered().await;
        assert_eq!((setting.count("notifications").await, setting.count("inbox").await), (2, 3));
        assert_eq!(setting.count("inbox_gate WHERE version = 3").await, 1, "a type without an effect has its turn");
        assert_eq!((setting.count("inbox_dead").await, setting.count("inbox_parked").await), (0, 0));
        assert_eq!((stat(&service, "foreign").await, stat(&service, "ignored").await), (20_000, 1));
        assert_eq!(metric(&service, r#"inbox_messages_total{consumer="notify-svc",outcome="foreign"}"#).await, 20_000.0);
        assert!(!service.log().contains("ERROR"), "{}", service.log());
        // A consumer that is made again goes on behind them.
        assert!(service.terminate().await.success());
        let stream = setting.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
        stream.delete_consumer(schema::names::NOTIFY_DURABLE).await.unwrap();
        service.restart().await;
        publish(&setting, &[at_version(4, order)]).await;
        setting.until_count("notifications", 3).await;
        assert_eq!(stat(&service, "foreign").await, 0);
    }

    async fn a_type_without_an_effect_is_parked_and_repeated_like_any_other(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let order = OrderId::generate();
        let second = of_type("order.shipped", at_version(2, order));
        publish(&setting, &[second.clone(), at_version(3, order)]).await;
        setting.until_count("inbox_parked", 2).await;
        publish(&setting, &[second.clone(), at_version(1, order), second]).await;
        setting.until_count("notifications", 2).await;
        eventually("repeats are duplicates", async || stat(&service, "duplicates").await == 2).await;
        assert_eq!((setting.count("inbox_parked").await, setting.count("inbox_dead").await), (0, 0));
        setting.until_count("inbox_gate WHERE version = 3", 1).await;
    }
}

#[tokio::test]
async fn a_message_that_names_another_aggregate_is_foreign_whatever_else_it_has() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    let jetstream = setting.jetstream().await;
    for (name, value) in [("ce-aggregatetype", "invoice"), ("ce-aggregatetype", ""), ("ce-type", "order.created")] {
        let mut headers = HeaderMap::new();
        headers.insert(name, value);
        headers.insert("ce-subject", "no uuid");
        let stored = jetstream.publish_with_headers("order.invoices", headers, "".into()).await.unwrap();
        stored.await.unwrap();
    }
    publish(&setting, &[Published::created()]).await;
    setting.until_count("notifications", 1).await;
    setting.until_count("inbox_dead", 2).await;
    setting.until_all_answered().await;
    assert_eq!(
        (stat(&service, "foreign").await, stat(&service, "dead").await),
        (1, 2),
        "one that does not say so is kept"
    );
}

#[tokio::test]
async fn a_header_that_another_program_percent_encoded_is_read_decoded() {
    let setting = Setting::new(Engine::MySql).await;
    let _service = setting.service().start().await;
    let jetstream = setting.jetstream().await;
    let event = Published::created();
    let mut headers = HeaderMap::new();
    for (name, value) in event.envelope.headers() {
        let encode = |byte: u8| format!("%{byte:02x}");
        let value = if name == "ce-specversion" { value } else { value.bytes().map(encode).collect() };
        headers.insert(name, value);
    }
    let stored = jetstream.publish_with_headers("order.created", headers, event.body.clone().into()).await.unwrap();
    stored.await.unwrap();
    setting.until_count("notifications", 1).await;
    assert_eq!(setting.count("inbox WHERE event_type = 'order.created' AND aggregate_type = 'order'").await, 1);
    assert_eq!(setting.count("inbox_dead").await, 0);
}
