//! A customer's address: who is told it, and what is left when it was erased.

use serde_json::{Value, json};
use stack::both_engines;
use stack::testing::Engine;

use crate::api::{Api, good_order};

both_engines! {
    async fn the_address_is_in_no_event_and_is_told_by_one_operation(engine: Engine) {
        let api = Api::start(engine).await;
        let placed = api.place().await;
        let path = placed.header("location").to_owned();
        assert_eq!(api.post(&format!("{path}/cancel")).await.status, 200);
        let told = api.get(&format!("{path}/recipient")).await;
        assert_eq!((told.status, &told.body), (200, &json!({"email": "ada@example.com"})));
        assert_eq!(told.header("cache-control"), "no-store");
        let events: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE CONCAT(payload, COALESCE(headers, '')) LIKE '%@%'")
                .fetch_one(&api.pool)
                .await
                .unwrap();
        assert_eq!((api.rows().await, events), ((1, 2), 0));
        let nowhere = "/api/orders/019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10/recipient";
        api.get(nowhere).await.problem(404, "order-not-found");
        api.get("/api/orders/1/recipient").await.problem(400, "malformed-id");
    }

    async fn an_order_whose_address_was_erased_is_told_apart_and_can_be_repeated_and_cancelled(engine: Engine) {
        let api = Api::start(engine).await;
        let placed = api.place_as("key", &good_order()).await;
        let path = placed.header("location").to_owned();
        api.execute("UPDATE orders SET email = NULL").await;
        api.get(&format!("{path}/recipient")).await.problem(410, "erased");
        let shown = api.get(&path).await;
        assert_eq!((shown.status, &shown.body["email"]), (200, &Value::Null));
        assert_eq!(shown.header("etag"), "\"1-placed-erased\"");
        assert_eq!(api.get("/api/orders?email=ada@example.com").await.body["orders"], json!([]));
        assert_eq!(api.get("/api/orders").await.body["orders"][0], shown.body);
        let again = api.place_as("key", &good_order()).await;
        assert_eq!((again.status, &again.body["id"], &again.body["email"]), (201, &placed.body["id"], &Value::Null));
        let cancel = api.client.post(api.url(&format!("{path}/cancel"))).header("if-match", placed.header("etag"));
        let cancelled = crate::api::Answer::to(cancel).await;
        assert_eq!((cancelled.status, cancelled.header("etag")), (200, "\"2-cancelled-erased\""), "{}", cancelled.text);
    }
}
