//! A message that can't be processed is kept whole, and costs no other message anything.

use schema::names;
use serde_json::{Value, json};
use sqlx::types::Json;
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, stat};

#[derive(Debug, sqlx::FromRow)]
struct Dead {
    subject: String,
    headers: Json<Value>,
    payload: Vec<u8>,
    reason: String,
}

async fn dead(setting: &Setting) -> Vec<Dead> {
    let rows = sqlx::query_as("SELECT subject, headers, payload, reason FROM inbox_dead ORDER BY stream_seq");
    rows.fetch_all(&setting.pool).await.unwrap()
}

fn spoilt() -> [(Published, &'static str); 4] {
    let bodies = [
        (Published { body: "\u{0}no json".to_owned(), ..Published::created() }, "malformed payload"),
        (Published { body: r#"{"schema_version":7}"#.to_owned(), ..Published::created() }, "unknown schema version 7"),
    ];
    let mut nameless = Published::created();
    nameless.envelope.aggregate_id = "another".parse().unwrap();
    let endless = Published::created_of(Published::created().order_id(), &"x".repeat(201));
    let [first, second] = bodies;
    [first, second, (nameless, "the envelope about another"), (endless, "product must have 1 to 200 characters")]
}

both_engines! {
    async fn a_poison_message_is_kept_whole_and_termed(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let spoilt = spoilt();
        let good = Published::created();
        setting.publish(&spoilt.iter().map(|(event, _)| event).chain([&good]).collect::<Vec<_>>()).await;
        setting.until_count("inbox_dead", 4).await;
        setting.until_all_answered().await;
        for (dead, (event, reason)) in dead(&setting).await.iter().zip(&spoilt) {
            assert!(dead.reason.contains(reason), "{}", dead.reason);
            assert_eq!((dead.subject.as_str(), dead.payload.as_slice()), (event.subject.as_str(), event.body.as_bytes()));
            let id = json!(["ce-id", event.envelope.event_id.to_string()]);
            assert!(dead.headers.0.as_array().unwrap().contains(&id), "{:?}", dead.headers);
            let log = service.log();
            let is_named = |line: &str| line.contains("is dead") && line.contains(&event.envelope.event_id.to_string());
            assert!(log.lines().any(is_named), "{log}");
        }
        assert_eq!(setting.count("notifications").await, 1, "the good message had its effect");
        assert_eq!((stat(&service, "dead").await, stat(&service, "terms").await), (4, 4));
    }

    async fn a_redelivered_poison_message_is_the_same_row(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        let [(event, _), ..] = spoilt();
        setting.publish(&[&event]).await;
        setting.until_count("inbox_dead", 1).await;
        assert!(service.terminate().await.success());
        sqlx::query("DELETE FROM inbox_position").execute(&setting.pool).await.unwrap();
        let stream = setting.jetstream().await.get_stream(names::STREAM).await.unwrap();
        stream.delete_consumer(names::NOTIFY_DURABLE).await.unwrap();
        service.restart().await;
        eventually("it is termed again", async || stat(&service, "terms").await == 1).await;
        assert_eq!(setting.count("inbox_dead").await, 1);
    }
}
