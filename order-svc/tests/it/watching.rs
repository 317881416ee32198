use serde_json::{Value, json};
use stack::both_engines;
use stack::testing::Engine;

use crate::api::Api;

both_engines! {
    /// Programs with an old sql_mode write such dates; UPDATE IGNORE does as they do.
    async fn an_event_without_a_date_hides_neither_its_order_nor_the_status(engine: Engine) {
        let api = Api::start(engine).await;
        let id = api.placed().await;
        for date in ["2026-00-10", "0000-00-00"] {
            api.execute(&format!("UPDATE IGNORE outbox SET occurred_at = '{date}'")).await;
            let story = api.get(&format!("/api/orders/{id}/events")).await;
            assert_eq!((story.status, &story.body["events"][0]["occurred_at"]), (200, &json!("1970-01-01T00:00:00Z")));
            let status = api.get("/api/orders/events/status").await;
            // From the insertion, whatever date the event has.
            let age = status.body["oldest_pending_age_seconds"].as_f64().unwrap();
            assert!(status.status == 200 && (0.0..60.0).contains(&age), "{age}");
        }
    }

    async fn an_order_tells_where_its_events_are(engine: Engine) {
        let api = Api::start(engine).await;
        let id = api.placed().await;
        api.placed().await;
        api.post(&format!("/api/orders/{id}/cancel")).await;
        api.execute("UPDATE outbox SET state = 'published', published_at = '2026-11-22 11:30:00.5', stream_seq = 7 WHERE seq = 1").await;
        api.execute("UPDATE outbox SET state = 'dead', attempts = 3, last_error = 'too large' WHERE aggregate_version = 2").await;
        let path = format!("/api/orders/{id}/events");
        let story = api.get(&path).await;
        assert_eq!(story.status, 200, "{}", story.text);
        let events = story.body["events"].as_array().unwrap();
        let column = |name: &str| events.iter().map(|event| event[name].clone()).collect::<Vec<Value>>();
        assert_eq!(column("event_type"), ["order.created", "order.cancelled"]);
        assert_eq!(column("version"), [1, 2]);
        assert_eq!(column("state"), ["published", "dead"]);
        assert_eq!(column("attempts"), [0, 3]);
        assert_eq!(column("last_error"), [json!(null), json!("given-up")]);
        assert_eq!(column("published_at"), [json!("2026-11-22T11:30:00.500Z"), json!(null)]);
        assert_eq!(column("stream_sequence"), [json!(7), json!(null)]);
        let status = api.get("/api/orders/events/status").await.body;
        let dead = &status["newest_dead"][0];
        assert_eq!((&dead["aggregate_id"], &dead["last_error"]), (&json!(id.to_string()), &json!("given-up")), "{status}");
        assert_eq!((&status["newest_held"], &status["relay_holder"]), (&json!([]), &json!(null)));

        api.execute("DELETE FROM outbox").await;
        assert_eq!(api.get(&path).await.body, json!({"events": []}), "an order outlives its purged events");
        api.get("/api/orders/019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10/events").await.problem(404, "order-not-found");
        assert_eq!(api.get("/api/orders/x/events").await.problem(400, "malformed-id"), ["id"]);
    }

    async fn the_status_tells_which_relay_is_active_and_keeps_its_token(engine: Engine) {
        let api = Api::start(engine).await;
        api.execute("UPDATE relay_lease SET holder = 'node-7:1:0f1e', epoch = 3, expires_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR").await;
        let status = api.get("/api/orders/events/status").await.body;
        assert_eq!((&status["relay_holder"], &status["relay_epoch"]), (&json!("node-7:1"), &json!(3)), "{status}");
    }

    async fn the_status_tells_how_fast_events_are_published(engine: Engine) {
        let api = Api::start(engine).await;
        let path = "/api/orders/events/status";
        let empty = api.get(path).await.body;
        assert_eq!((&empty["published"], &empty["proven"], &empty["last_published_at"]), (&0.into(), &0.into(), &json!(null)));
        assert_eq!(empty["publish_rate_per_second"], 0.0);
        publish(&api, 30, "INTERVAL 10 SECOND").await;
        publish(&api, 20, "INTERVAL 1 HOUR").await;
        let status = api.get(path).await.body;
        assert_eq!((&status["published"], &status["publish_rate_per_second"]), (&50.into(), &0.5.into()), "{status}");
        assert!(status["last_published_at"].is_string());

        publish(&api, 2000, "INTERVAL 10 SECOND").await;
        let rate = api.get(path).await.body["publish_rate_per_second"].as_f64().unwrap();
        assert!((1000.0 / 60.0..=100.0).contains(&rate), "a thousand events in ten seconds: {rate}");
    }

    async fn the_status_tells_how_many_events_are_proven(engine: Engine) {
        let api = Api::start(engine).await;
        publish(&api, 2000, "INTERVAL 1 HOUR").await;
        api.execute("UPDATE outbox SET stream_seq = seq + 70").await;
        let proven = async || api.get("/api/orders/events/status").await.body["proven"].clone();
        assert_eq!(proven().await, 0, "no relay has looked at the stream");
        api.execute("UPDATE relay_stream SET proven_seq = 570").await;
        assert_eq!(proven().await, 500, "derived from the sequences");
        api.execute("UPDATE relay_stream SET proven_seq = 2060").await;
        assert_eq!(proven().await, 1990, "counted");
        api.execute("DELETE FROM outbox WHERE seq <= 1000").await;
        assert_eq!(proven().await, 990);
        api.execute("UPDATE relay_stream SET proven_seq = 9999").await;
        assert_eq!(proven().await, 1000);
    }

    async fn the_status_reads_a_bounded_part_of_the_outbox(engine: Engine) {
        let api = Api::start(engine).await;
        publish(&api, 130_000, "INTERVAL 1 HOUR").await;
        publish(&api, 1, "INTERVAL 1 SECOND").await;
        api.execute("UPDATE outbox SET state = 'pending' WHERE seq > 5 AND seq <= 110005").await;
        api.execute("DELETE FROM outbox WHERE seq <= 3").await;
        let status = api.get("/api/orders/events/status").await.body;
        assert_eq!((&status["pending"], &status["count_max"]), (&100_000.into(), &100_000.into()));
        assert_eq!(status["published"], 20_000 - 2, "exact below the bound: {status}");
        api.execute("UPDATE outbox SET state = 'published'").await;
        let published = api.get("/api/orders/events/status").await.body["published"].as_u64().unwrap();
        let rows = u64::try_from(api.count("SELECT COUNT(*) FROM outbox").await).unwrap();
        assert!((rows..rows * 2).contains(&published), "{published} is said of {rows}");
    }
}

/// Appends events that look as if the relay had published them.
async fn publish(api: &Api, events: u32, ago: &str) {
    api.execute(&format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload, state, published_at)
         WITH RECURSIVE a (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM a WHERE i < 500),
                        n (i) AS (SELECT (x.i - 1) * 500 + y.i FROM a x JOIN a y)
         SELECT 'x', 'x', 'x', 'x', '{{}}', 'published', UTC_TIMESTAMP(6) - {ago}
         FROM n WHERE i <= {events}"
    ))
    .await;
}
