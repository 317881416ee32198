//! Who tells of complaints comes from outside: through the gateway, to the real notify-svc.

use chrono::Utc;
use reqwest::Client;
use ring::hmac;
use schema::database::NOTIFICATIONS;
use serde_json::{Value, json};
use stack::Engine;
use stack::testing::{Database, Service, binary, eventually};

use super::Setup;

const SECRET: &str = "a secret of this test that is long enough";

#[tokio::test]
async fn a_signed_complaint_comes_in_by_the_public_door() {
    let database = Database::create(Engine::MySql, &NOTIFICATIONS).await;
    let mut service = Service::new(binary("notify-svc"))
        .env("DATABASE_URL", database.url("notify_svc"))
        .env("NATS_URL", "nats://127.0.0.1:1")
        .env("EMAIL_TRANSPORT", "log")
        .env("SUPPRESSION_WEBHOOK_SECRET", SECRET);
    service.spawn(); // it answers without a broker, and is not ready
    let address = service.url("").trim_start_matches("http://").to_owned();
    let setup = Setup::start_before_notify_svc(address).await;
    let body = json!([{"address": "ada@example.com", "cause": "complaint", "reason": "abuse report 4711"}]).to_string();
    let now = Utc::now().timestamp().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{now}.{body}").as_bytes());
    let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let tell = async |signature: &str| {
        let url = format!("http://127.0.0.1:{}/api/notifications/suppressions", setup.gateway.number());
        let request =
            Client::new().post(url).header("X-Webhook-Timestamp", &now).header("X-Webhook-Signature", signature);
        let answer = request.body(body.clone()).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    eventually("it is told", async || tell(&signature).await.0 == 200).await;
    assert_eq!(tell(&signature).await.1, json!({"added": 0, "known": 1}));
    assert_eq!(tell(&signature.replace(|digit: char| digit != '0', "1")).await.0, 401);
}
