//! A customer's address: who is told it, and what is left when it was erased.

use std::process::Command;

use schema::ids::OrderId;
use serde_json::{Value, json};
use stack::both_engines;
use stack::testing::{Database, Engine};

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

    async fn a_customer_with_many_orders_is_erased_in_small_transactions_on_a_record_without_the_address(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let admin = database.admin_pool().await;
        for number in 0..1200_u32 {
            let order = "INSERT INTO orders (id, customer, product, quantity, email, status, version, created_at, updated_at)
                         VALUES (?, ?, 'Mug', 1, ?, 'placed', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))";
            let whose = if number < 1100 { ("ada", "ada@example.com") } else { ("bob", "bob@example.com") };
            sqlx::query(order).bind(OrderId::generate()).bind(whose.0).bind(whose.1).execute(&admin).await.unwrap();
        }
        let verb = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_order-svc"));
            command.arg("customer").args(arguments).args(["--reason", "a letter", "--actor", "eve", "--json"]);
            let output = command.env("DATABASE_URL", database.url("orders_operator")).output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            (output.status.code(), serde_json::from_str::<Value>(&said).unwrap_or_else(|_| json!(said)))
        };
        let (status, exported) = verb(&["export", "--customer", "bob"]);
        assert_eq!((status, exported["orders"].as_array().map(Vec::len)), (Some(0), Some(100)));
        // As if it had been cut off after some.
        sqlx::query("UPDATE orders SET email = NULL WHERE customer = 'ada' ORDER BY id LIMIT 100").execute(&admin).await.unwrap();
        let (status, erased) = verb(&["erase", "--customer", "ada"]);
        assert_eq!((status, &erased["erased"], &erased["outcome"]), (Some(0), &json!(1000), &json!("erased")), "{erased}");
        assert!(erased["remains"].as_array().unwrap().len() > 3);
        assert_eq!(verb(&["erase", "--customer", "ada"]).1["erased"], 0, "again is harmless");
        assert_eq!(verb(&["erase", "--email", "bob@example.com"]).1["erased"], 100);
        assert_eq!(verb(&["erase", "--email", "eve@example.com"]).0, Some(3));
        assert_eq!(verb(&["erase"]).0, Some(64), "somebody has to be named");
        let addresses: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE email IS NOT NULL").fetch_one(&admin).await.unwrap();
        assert_eq!(addresses, 0);
        let record: Vec<(String, Option<String>, bool, u64)> = sqlx::query_as(
            "SELECT CAST(action AS CHAR), CAST(customer AS CHAR), address_sha256 = UNHEX(SHA2('bob@example.com', 256)) IS TRUE, orders
             FROM customer_action WHERE actor = 'eve' AND reason = 'a letter' AND orders > 0 ORDER BY id",
        )
        .fetch_all(&admin)
        .await
        .unwrap();
        let erase = |customer: Option<&str>, orders| ("erase".to_owned(), customer.map(str::to_owned), customer.is_none(), orders);
        let expected = [
            ("export".to_owned(), Some("bob".to_owned()), false, 100),
            erase(Some("ada"), 400), erase(Some("ada"), 500), erase(Some("ada"), 100), erase(None, 100),
        ];
        assert_eq!(record, expected);
    }
}
