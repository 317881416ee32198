use serde_json::{Value, json};
use sqlx::Row;
use stack::both_engines;
use stack::testing::Engine;

use crate::api::{Answer, Api, good_order};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn outbox_row(api: &Api) -> (u32, Value, Option<Value>) {
    let row = sqlx::query(
        "SELECT o.aggregate_version, o.payload, o.headers
         FROM outbox o JOIN orders ON orders.id = UNHEX(REPLACE(o.aggregate_id, '-', '')) AND orders.version = o.aggregate_version
         WHERE o.aggregate_type = 'order' AND o.event_type = 'order.created' AND o.subject = 'order.created'
           AND o.state = 'pending' AND o.attempts = 0 AND o.occurred_at = orders.created_at",
    )
    .fetch_one(&api.pool)
    .await
    .unwrap();
    (row.get(0), row.get(1), row.get(2))
}

both_engines! {
    async fn an_order_and_its_event_commit_together(engine: Engine) {
        let api = Api::start(engine).await;
        let request = api.client.post(api.url("/api/orders")).header("traceparent", TRACEPARENT).json(&good_order());
        let placed = Answer::to(request).await;

        assert_eq!(placed.status, 201, "{}", placed.text);
        let id = placed.body["id"].as_str().unwrap();
        assert_eq!(placed.header("location"), format!("/api/orders/{id}"));
        assert_eq!(api.rows().await, (1, 1));
        let (version, payload, headers) = outbox_row(&api).await;
        assert_eq!(version, 1);
        let expected = json!({
            "schema_version": 1, "order_id": id, "product": "Espresso machine", "quantity": 2,
            "placed_at": placed.body["created_at"],
        });
        assert_eq!(payload, expected);
        let schema = "urn:web-store:event:order.created:1";
        assert_eq!(headers, Some(json!({"traceparent": TRACEPARENT, "ce-dataschema": schema})));
        assert!(api.shows(r#"outbox_events_appended_total{event_type="order.created"} 1"#));
        assert!(api.shows(r#"orders_place_total{outcome="done"} 1"#));
    }

    async fn an_order_whose_event_can_not_be_appended_is_not_committed(engine: Engine) {
        let api = Api::start(engine).await;
        api.execute("ALTER TABLE outbox ADD CONSTRAINT nothing_new CHECK (event_type = 'never')").await;
        let refused = api.place().await;
        refused.problem(500, "internal");
        assert!(!refused.text.contains("nothing_new"), "the database's words leak: {}", refused.text);
        assert_eq!(api.rows().await, (0, 0));
        assert!(api.shows(r#"outbox_events_appended_total{event_type="order.created"} 0"#));
        assert!(api.shows(r#"orders_place_total{outcome="failed"} 1"#));
    }

    async fn a_placed_order_reads_back_as_it_was_answered(engine: Engine) {
        let api = Api::start(engine).await;
        let order = json!({"product": " \u{1F375} O'Hara \"x\" ", "quantity": 1000, "email": "o'hara+x@example.co.uk"});
        let placed = Answer::to(api.client.post(api.url("/api/orders")).json(&order)).await;
        assert_eq!(placed.status, 201, "{}", placed.text);
        for field in ["product", "quantity", "email"] {
            assert_eq!(placed.body[field], order[field]);
        }
        let read = api.get(placed.header("location")).await;
        assert_eq!((read.status, &read.body), (200, &placed.body));
        let upper_case = placed.header("location").replace("/api/orders/", "").to_uppercase();
        assert_eq!(api.get(&format!("/api/orders/{upper_case}")).await.status, 200);
    }

    async fn a_malformed_traceparent_is_left_out(engine: Engine) {
        let api = Api::start(engine).await;
        let request = api.client.post(api.url("/api/orders")).header("traceparent", "00-evil").json(&good_order());
        assert_eq!(Answer::to(request).await.status, 201);
        assert_eq!(outbox_row(&api).await.2.unwrap().get("traceparent"), None);
    }

    async fn a_status_of_a_newer_version_is_an_error_and_no_guess(engine: Engine) {
        let api = Api::start(engine).await;
        let id = api.placed().await;
        api.execute("ALTER TABLE orders MODIFY status ENUM ('placed', 'cancelled', 'shipped', 'lost') NOT NULL").await;
        api.execute("UPDATE orders SET status = 'lost'").await;
        let read = api.get(&format!("/api/orders/{id}")).await;
        read.problem(500, "internal");
        assert!(!read.text.contains("lost"), "{}", read.text);
        api.post(&format!("/api/orders/{id}/cancel")).await.problem(500, "internal");
        assert_eq!(api.rows().await, (1, 1));
    }
}
