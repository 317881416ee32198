use order_svc::purge::BATCH_MAX;
use order_svc::store::idempotency_keys;
use serde_json::json;
use stack::both_engines;
use stack::testing::{Database, Engine};

use crate::api::{Answer, Api, USER, good_order};

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

both_engines! {
    async fn a_repeated_request_gets_the_first_answer(engine: Engine) {
        let api = Api::start(engine).await;
        let first = api.place_as(KEY, &good_order()).await;
        assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""), "{}", first.text);
        let cancelled = api.post(&format!("{}/cancel", first.header("location"))).await;
        assert_eq!(cancelled.status, 200);

        let again = api.place_as(KEY, &json!({"email": "ada@example.com", "quantity": 2, "product": "Espresso machine"})).await;
        assert_eq!((again.status, &again.text), (201, &first.text), "the answer of then, though it is cancelled now");
        for header in ["location", "etag", "content-type"] {
            assert_eq!(again.header(header), first.header(header));
        }
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(api.rows().await, (1, 2));
        assert!(api.shows(r#"orders_place_total{outcome="repeated"} 1"#));
        assert!(api.shows(r#"outbox_events_appended_total{event_type="order.created"} 1"#));
    }

    async fn two_requests_with_one_key_at_once_make_one_order(engine: Engine) {
        let api = Api::start(engine).await;
        let order = good_order();
        let answers = futures::future::join_all((0..16).map(|_| api.place_as(KEY, &order))).await;
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (201, &answers[0].body), "{}", answer.text);
        }
        assert_eq!(api.rows().await, (1, 1));
        assert!(api.shows(r#"orders_place_total{outcome="done"} 1"#));
        assert!(api.shows(r#"orders_place_total{outcome="repeated"} 15"#));
    }

    async fn a_key_of_another_order_is_refused(engine: Engine) {
        let api = Api::start(engine).await;
        assert_eq!(api.place_as(KEY, &good_order()).await.status, 201);
        for (field, value) in [("product", json!("Mug")), ("quantity", json!(3)), ("email", json!("eve@example.com"))] {
            let mut order = good_order();
            order[field] = value;
            api.place_as(KEY, &order).await.problem(422, "idempotency-key-reused");
        }
        assert_eq!(api.rows().await, (1, 1));
        let upper_case = api.place_as(&KEY.to_uppercase(), &good_order()).await;
        assert_eq!(upper_case.status, 201, "keys are compared byte by byte: {}", upper_case.text);
        assert_eq!(api.rows().await, (2, 2));
    }

    async fn a_refused_request_spends_no_key(engine: Engine) {
        let api = Api::start(engine).await;
        api.place_as(KEY, &json!({})).await.problem(422, "invalid-order");
        api.execute("ALTER TABLE outbox ADD CONSTRAINT nothing_new CHECK (event_type = 'never')").await;
        api.place_as(KEY, &good_order()).await.problem(500, "internal");
        assert_eq!(api.count("SELECT COUNT(*) FROM idempotency_keys").await, 0, "the key goes with its order");
        api.execute("ALTER TABLE outbox DROP CONSTRAINT nothing_new").await;
        assert_eq!(api.place_as(KEY, &good_order()).await.status, 201);
        assert_eq!(api.rows().await, (1, 1));
    }

    async fn a_key_is_one_with_and_without_quotes(engine: Engine) {
        let api = Api::start(engine).await;
        let first = api.place_as(&format!("\"{KEY}\""), &good_order()).await;
        let again = api.place_as(KEY, &good_order()).await;
        assert_eq!((first.status, again.status, &again.body), (201, 201, &first.body));
        assert_eq!(api.rows().await, (1, 1));
    }

    async fn a_key_whose_order_was_deleted_is_a_conflict(engine: Engine) {
        let api = Api::start(engine).await;
        assert_eq!(api.place_as(KEY, &good_order()).await.status, 201);
        api.execute("DELETE FROM orders").await;
        api.place_as(KEY, &good_order()).await.problem(409, "idempotency-key-order-deleted");
        assert_eq!(api.place_as("another", &good_order()).await.status, 201);
    }

    async fn an_expired_key_is_free_again(engine: Engine) {
        let api = Api::start(engine).await;
        let first = api.place_as(KEY, &good_order()).await;
        let hours = "SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(6), expires_at) FROM idempotency_keys";
        assert_eq!(api.count(hours).await, 24 * 60 - 1, "documented: a day");
        api.execute("UPDATE idempotency_keys SET expires_at = UTC_TIMESTAMP(6)").await;
        let second = api.place_as(KEY, &good_order()).await;
        assert_eq!(second.status, 201, "{}", second.text);
        assert_ne!(first.body["id"], second.body["id"]);
        assert_eq!(api.rows().await, (2, 2));
        assert_eq!(api.place_as(KEY, &good_order()).await.body["id"], second.body["id"]);
    }

    async fn expired_keys_are_purged_in_bounded_batches(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let (admin, pool) = (database.admin_pool().await, database.service_pool(USER, 8));
        let insert = "INSERT INTO idempotency_keys (idempotency_key, order_id, expires_at)
                      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 950)
                      SELECT CONCAT(?, i), UNHEX(REPEAT('0', 32)), UTC_TIMESTAMP(6) + INTERVAL ? SECOND FROM n";
        for (prefix, seconds) in [("old", -60), ("older", -3600), ("new", 60)] {
            sqlx::query(insert).bind(prefix).bind(seconds).execute(&admin).await.unwrap();
        }
        let purge = async || idempotency_keys::purge(&pool, BATCH_MAX).await.unwrap();
        assert_eq!([purge().await, purge().await, purge().await], [1000, 900, 0]);
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM idempotency_keys").fetch_one(&admin).await.unwrap();
        assert_eq!(left, 950);
    }
}

#[tokio::test]
async fn a_malformed_key_is_refused_by_its_name() {
    let api = Api::start(Engine::MySql).await;
    for key in ["", "a b", "\"a", "\"a\";p", &"x".repeat(129)] {
        assert_eq!(
            api.place_as(key, &good_order()).await.problem(400, "malformed-idempotency-key"),
            ["Idempotency-Key"]
        );
    }
    let twice = api.client.post(api.url("/api/orders")).header("idempotency-key", "a").header("idempotency-key", "a");
    Answer::to(twice.json(&good_order())).await.problem(400, "malformed-idempotency-key");
    assert_eq!(api.rows().await, (0, 0));
}
