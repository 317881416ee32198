//! The API and the admin port, as clients see them.

use serde_json::Value;
use stack::testing::{TcpProxy, eventually, without_tokens};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, get};

both_engines! {
    async fn the_api_tells_what_became_of_an_order(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let event = Published::created();
        let path = format!("/api/notifications?order_id={}", event.order_id());
        assert!(get(&service, &path).await["notifications"].as_array().unwrap().is_empty());
        setting.publish(&[&event]).await;
        eventually("the email is sent", async || {
            get(&service, &path).await["notifications"][0]["email"]["state"] == "sent"
        })
        .await;
        let listed = get(&service, &path).await;
        let notification = &listed["notifications"][0];
        assert_eq!(notification["event_id"], event.envelope.event_id.to_string());
        assert_eq!(notification["order_id"], event.order_id().to_string());
        assert_eq!(notification.get("recipient"), None);
        assert_eq!(notification["quantity"], 2);
        assert_eq!(notification["email"]["attempts"], 1);
        assert!(notification["email"]["sent_at"].as_str().unwrap().ends_with('Z'));
        setting.until_all_answered().await;
        let status = get(&service, "/api/events/status").await;
        assert_eq!((&status["connection"], &status["stream"]["messages"]), (&"connected".into(), &1.into()));
        assert_eq!((&status["consumer"]["pending"], &status["consumer"]["ack_floor"]), (&0.into(), &1.into()));
        assert_eq!(status["lag_seconds"], 0.0);
        assert_eq!(status["last_error"], Value::Null);
    }

    async fn without_its_database_the_service_is_unhealthy_and_says_so(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut to_database = TcpProxy::start(setting.database.port()).await;
        let url = setting.database.url_through("notify_svc", to_database.port());
        let service = setting.service().env("DATABASE_URL", url).start().await;
        assert_eq!(get(&service, "/health").await["status"], "ok");
        to_database.cut().await;
        eventually("/health says so", async || get(&service, "/health").await["code"] == "database-unavailable").await;
        let answer = reqwest::get(service.url("/api/events/stats")).await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(reqwest::get(service.admin_url("/readyz")).await.unwrap().status(), 200);
        to_database.heal().await;
        eventually("it is well again", async || get(&service, "/health").await["status"] == "ok").await;
    }
}

#[tokio::test]
async fn a_malformed_query_is_a_problem_that_names_the_parameter() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    for (path, code, pointer) in [
        ("?order_id=", "invalid-query", "order_id"),
        ("?order_id=019aab1e5c3a7d529e1f3f2b8c6d4a10", "invalid-query", "order_id"),
        ("?cursor=1", "invalid-query", "cursor"),
        ("?limit=101", "invalid-query", "limit"),
        ("?limit=5&limit=5", "invalid-query", "limit"),
        ("?state=lost", "invalid-query", "state"),
        ("?status=dead", "invalid-query", "status"),
        ("?order_id", "invalid-query", "order_id"),
        ("/1", "malformed-id", "id"),
    ] {
        let answer = reqwest::get(service.url(&format!("/api/notifications{path}"))).await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!((&problem["code"], &problem["errors"][0]["pointer"]), (&code.into(), &pointer.into()), "{path}");
    }
    let unknown = format!("/api/notifications/{}", Published::created().order_id());
    assert_eq!(get(&service, &unknown).await["code"], "notification-not-found");
}

#[tokio::test]
async fn pages_of_notifications_hold_each_once_and_follow_the_filters() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().env("EMAIL_TRANSPORT", "log").start().await;
    let events: Vec<_> = (0..25).map(|_| Published::created()).collect();
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    eventually("all are sent", async || get(&service, "/api/events/stats").await["emails"]["sent"] == 25).await;
    let mut ids = Vec::new();
    let mut path = "/api/notifications?state=sent&limit=10".to_owned();
    loop {
        let page = get(&service, &path).await;
        ids.extend(page["notifications"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/api/notifications?state=sent&limit=10&cursor={next}");
    }
    assert_eq!(ids.len(), 25);
    assert!(ids.iter().rev().is_sorted(), "newest first");
    let one = get(&service, &format!("/api/notifications/{}", ids[7])).await;
    assert_eq!(one["id"], ids[7].as_str());
    assert_eq!(get(&service, "/api/notifications?limit=100").await["notifications"].as_array().unwrap().len(), 25);
    assert!(get(&service, "/api/notifications?state=dead").await["notifications"].as_array().unwrap().is_empty());
    let stats = get(&service, "/api/events/stats").await;
    assert!(stats["latency"]["p99_seconds"].as_f64().unwrap() > 0.0, "{stats}");
}

#[tokio::test]
async fn the_documentation_is_served_by_relative_urls() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    let text = async |path: &str| reqwest::get(service.url(path)).await.unwrap().text().await.unwrap();
    assert!(text("/docs/").await.contains("swagger-initializer.js"));
    assert!(text("/docs/swagger-initializer.js").await.contains(r#""openapi.json""#));
    let committed: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    assert_eq!(get(&service, "/docs/openapi.json").await, without_tokens(committed));
}
