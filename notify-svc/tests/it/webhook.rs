//! The webhook of bounces, complaints and unsubscribers: who may call it, and what it does.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::Utc;
use ring::hmac;
use serde_json::{Value, json};
use stack::testing::Service;
use stack::{Engine, both_engines};

use crate::setting::{Setting, verb, verb_json};

const SECRET: &str = "a secret of this test that is long enough";

/// The service, which knows the secret in this file.
async fn start(setting: &Setting, secret: &Path) -> Service {
    fs::write(secret, SECRET).unwrap();
    setting.service().env("SUPPRESSION_WEBHOOK_SECRET_FILE", secret.to_str().unwrap()).start().await
}

fn secret_file(setting: &Setting) -> PathBuf {
    setting.emails.path().join("webhook-secret")
}

fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is answered to a body with these headers.
async fn post(service: &Service, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(service.url("/api/notifications/suppressions")).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The same, signed now with a secret.
async fn tell(service: &Service, secret: &str, body: &Value) -> (u16, Value) {
    let (body, timestamp) = (body.to_string(), Utc::now().timestamp().to_string());
    let signature = sign(secret, &timestamp, &body);
    post(service, &[("x-webhook-timestamp", &timestamp), ("x-webhook-signature", &signature)], &body).await
}

fn complaint(address: &str) -> Value {
    json!([{ "address": address, "cause": "complaint", "reason": "abuse report 4711" }])
}

both_engines! {
    async fn a_signed_complaint_suppresses_its_address_once(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = start(&setting, &secret_file(&setting)).await;
        let told = json!([
            { "address": "Ada@example.com", "cause": "complaint", "reason": "abuse report 4711" },
            { "address": "eve@example.com", "cause": "unsubscribed", "reason": "by the link" },
        ]);
        assert_eq!(tell(&service, SECRET, &told).await, (200, json!({ "added": 2, "known": 0 })));
        assert_eq!(tell(&service, SECRET, &told).await, (200, json!({ "added": 0, "known": 2 })));
        let (_, listed) = verb_json(&setting, &["suppression", "list"]);
        let column = |name: &str| listed.as_array().unwrap().iter().map(|line| line[name].clone()).collect::<Vec<_>>();
        assert_eq!(column("address"), ["a***@example.com", "e***@example.com"]);
        assert_eq!(column("cause"), ["complaint", "unsubscribed"]);
        assert_eq!(column("added_by"), ["webhook", "webhook"]);
        assert_eq!(column("reason"), ["abuse report 4711", "by the link"]);
        assert_eq!(setting.count("suppression_action").await, 2);
        assert!(!service.log().contains("@example.com"), "no address is in the log");
    }

    async fn what_is_told_later_of_a_suppressed_address_is_kept_beside_what_was_known(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = start(&setting, &secret_file(&setting)).await;
        let told = |causes: &[&str]| causes.iter().map(|cause| json!({ "address": "ada@example.com", "cause": cause, "reason": "a test" })).collect();
        assert_eq!(tell(&service, SECRET, &told(&["bounce"])).await, (200, json!({ "added": 1, "known": 0 })));
        let all = ["unsubscribed", "bounce", "complaint"];
        assert_eq!(tell(&service, SECRET, &told(&all)).await, (200, json!({ "added": 2, "known": 1 })));
        let (_, listed) = verb_json(&setting, &["suppression", "list"]);
        let causes: Vec<_> = listed.as_array().unwrap().iter().map(|line| line["cause"].as_str().unwrap()).collect();
        assert_eq!(causes, ["bounce", "complaint", "unsubscribed"]);
    }

    async fn an_address_in_another_notation_is_suppressed_as_an_order_has_it(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = start(&setting, &secret_file(&setting)).await;
        let one = |address: &str| json!({ "address": address, "cause": "complaint", "reason": "a test" });
        for refused in ["nobody", "Ada <ada@example.com>", "\u{e4}da@example.com", "ada@localhost", "ada@[127.0.0.1]"] {
            let (status, answer) = tell(&service, SECRET, &json!([one("eve@example.com"), one(refused)])).await;
            assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!("/1/address")), "{refused}: {answer}");
            let (is_done, _) = verb(&setting, &["suppression", "add", refused, "--reason", "a test"]);
            assert!(!is_done, "{refused}");
        }
        assert_eq!(setting.count("suppression").await, 0);
        let told = ["Ada@ex\u{e4}mple.com", "<angle@example.com>", "mailto:mt@example.com", "ada@xn--exmple-cua.com"].map(one);
        assert_eq!(tell(&service, SECRET, &json!(told)).await, (200, json!({ "added": 3, "known": 0 })));
        assert!(verb(&setting, &["suppression", "add", "<verb@ex\u{e4}mple.com>", "--reason", "a test"]).0);
        let kept: Vec<String> =
            sqlx::query_scalar("SELECT address FROM suppression ORDER BY address").fetch_all(&setting.pool).await.unwrap();
        assert_eq!(kept, ["ada@xn--exmple-cua.com", "angle@example.com", "mt@example.com", "verb@xn--exmple-cua.com"]);
    }

    async fn what_is_not_signed_with_the_secret_of_now_suppresses_nobody(engine: Engine) {
        let setting = Setting::new(engine).await;
        let secret = secret_file(&setting);
        let service = start(&setting, &secret).await;
        let (now, old) = (Utc::now().timestamp().to_string(), (Utc::now().timestamp() - 400).to_string());
        let body = complaint("ada@example.com").to_string();
        let good = sign(SECRET, &now, &body);
        let (late, other) = (sign(SECRET, &old, &body), sign("another", &now, &body));
        for (timestamp, signature) in [(&old, &late), (&now, &late), (&old, &good), (&now, &other)] {
            let (status, answer) = post(&service, &[("x-webhook-timestamp", timestamp), ("x-webhook-signature", signature)], &body).await;
            assert_eq!((status, &answer["code"]), (401, &json!("invalid-signature")), "{answer}");
        }
        let headers = [("x-webhook-timestamp", now.as_str()), ("x-webhook-signature", good.as_str())];
        assert_eq!(post(&service, &headers, &complaint("eve@example.com").to_string()).await.0, 401, "another body");
        assert_eq!(post(&service, &headers[..1], &body).await.0, 401);
        assert_eq!(post(&service, &[], &body).await.0, 401);
        assert_eq!(setting.count("suppression").await, 0);

        fs::write(&secret, "the next secret of this test, long enough").unwrap();
        assert_eq!(tell(&service, SECRET, &complaint("ada@example.com")).await.0, 401, "it was replaced");
        assert_eq!(tell(&service, "the next secret of this test, long enough", &complaint("ada@example.com")).await.0, 200);
    }

    async fn a_secret_that_is_too_short_is_not_taken_and_the_one_before_stays(engine: Engine) {
        let setting = Setting::new(engine).await;
        let secret = secret_file(&setting);
        let service = start(&setting, &secret).await;
        let (next, told) = ("the next secret of this test, long enough", complaint("ada@example.com"));
        fs::write(&secret, next).unwrap();
        assert_eq!(tell(&service, next, &told).await.0, 200);
        for short in ["x", " \n", "", &" ".repeat(40), &"x".repeat(31)] {
            fs::write(&secret, short).unwrap();
            assert_eq!(tell(&service, short.trim_end_matches('\n'), &told).await.0, 401, "{short:?}");
            assert_eq!(tell(&service, SECRET, &told).await.0, 401, "it was replaced by a good one");
            assert_eq!(tell(&service, next, &told).await.0, 200, "{short:?}");
        }
        assert!(service.log().contains("SUPPRESSION_WEBHOOK_SECRET must have at least 32 characters"));
        fs::write(&secret, SECRET).unwrap();
        assert_eq!(tell(&service, SECRET, &told).await.0, 200);
    }

    async fn addresses_are_suppressed_all_or_none(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = start(&setting, &secret_file(&setting)).await;
        let one = |address: &str, cause: &str| json!({ "address": address, "cause": cause, "reason": "a test" });
        let (status, answer) = tell(&service, SECRET, &json!([one("ada@example.com", "complaint"), one("nobody", "complaint")])).await;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!("/1/address")), "{answer}");
        assert_eq!(tell(&service, SECRET, &json!([one("ada@example.com", "operator")])).await.0, 400);
        assert_eq!(tell(&service, SECRET, &json!({})).await.0, 400);
        let long = json!([{ "address": "ada@example.com", "cause": "complaint", "reason": "x".repeat(201) }]);
        assert_eq!(tell(&service, SECRET, &long).await.1["errors"][0]["pointer"], "/0/reason");
        let many: Vec<_> = (0..11).map(|number| one(&format!("{number}@example.com"), "complaint")).collect();
        assert_eq!(tell(&service, SECRET, &json!(many)).await.0, 422);
        assert_eq!(setting.count("suppression").await, 0);
        assert_eq!(tell(&service, SECRET, &json!(many[..10])).await, (200, json!({ "added": 10, "known": 0 })));
    }

    async fn without_a_secret_nobody_suppresses_anybody(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        for secret in ["", SECRET] {
            assert_eq!(tell(&service, secret, &complaint("ada@example.com")).await.0, 404);
        }
        assert_eq!(setting.count("suppression").await, 0);
    }
}
