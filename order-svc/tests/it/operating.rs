use stack::both_engines;
use stack::testing::{Engine, without_tokens};

use crate::api::Api;

both_engines! {
    async fn the_status_tells_what_waits_and_why(engine: Engine) {
        let api = Api::start(engine).await;
        let empty = api.get("/api/orders/events/status").await;
        assert_eq!(empty.status, 200, "{}", empty.text);
        assert_eq!((&empty.body["pending"], &empty.body["oldest_pending_age_seconds"]), (&0.into(), &().into()));
        assert_eq!((&empty.body["relay_active"], &empty.body["last_error"]), (&false.into(), &().into()));

        for _ in 0..5 {
            api.placed().await;
        }
        api.execute("UPDATE outbox SET state = 'published' ORDER BY seq LIMIT 1").await;
        api.execute("UPDATE outbox SET state = 'dead', last_error = 'too large' WHERE state = 'pending' ORDER BY seq LIMIT 1").await;
        api.execute("UPDATE outbox SET state = 'held' WHERE state = 'pending' ORDER BY seq LIMIT 1").await;
        api.execute("UPDATE outbox SET inserted_at = '2020-01-01' WHERE state = 'pending' ORDER BY seq LIMIT 1").await;
        api.execute("UPDATE relay_lease SET holder = 'me', epoch = 1, expires_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR").await;
        let status = api.get("/api/orders/events/status").await.body;
        assert_eq!([&status["pending"], &status["held"], &status["dead"]], [2, 1, 1], "{status}");
        assert!(status["oldest_pending_age_seconds"].as_f64().unwrap() > 1e8, "{status}");
        assert_eq!((&status["relay_active"], &status["last_error"]), (&true.into(), &"given-up".into()));

        api.execute("UPDATE outbox SET last_error = 'no responders' WHERE state = 'pending'").await;
        api.execute("UPDATE relay_lease SET outage = 'stream is full', outage_since = '2026-11-22 11:30:00.125'").await;
        let status = api.get("/api/orders/events/status").await.body;
        assert_eq!(status["last_error"], "broker-unavailable");
        assert_eq!(status["broker_outage_since"], "2026-11-22T11:30:00.125Z");

        api.execute("UPDATE relay_lease SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND").await;
        let status = api.get("/api/orders/events/status").await.body;
        assert_eq!((&status["relay_active"], &status["last_error"]), (&false.into(), &"retrying".into()));
        assert_eq!(status["broker_outage_since"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn the_service_says_that_it_is_well() {
    let api = Api::start(Engine::MySql).await;
    let health = api.get("/health").await;
    assert_eq!((health.status, health.text.as_str()), (200, r#"{"status":"ok"}"#));
}

#[tokio::test]
async fn the_page_finds_its_document_under_any_path() {
    let api = Api::start(Engine::MySql).await;
    let page = api.get("/docs/").await;
    assert_eq!((page.status, page.text.contains("swagger-ui")), (200, true));
    assert!(!page.text.contains("src=\"/"), "{}", page.text);
    let script = api.get("/docs/swagger-initializer.js").await.text;
    assert!(script.contains(r#""url": "openapi.json""#), "{script}");
    let document = api.get("/docs/openapi.json").await.body;
    assert_eq!(document, without_tokens(serde_json::to_value(order_svc::http::document()).unwrap()));
    assert_eq!(document["servers"], serde_json::json!([{"url": "/"}]));
}
