use order_svc::config::BODY_BYTES_MAX;
use serde_json::{Value, json};
use stack::both_engines;
use stack::testing::Engine;

use crate::api::{Answer, Api, good_order};

const JSON: &str = "application/json";

/// A good order with one field replaced, or removed by null.
fn with(field: &str, value: Value) -> String {
    let mut order = good_order();
    match value {
        Value::Null => {
            order.as_object_mut().unwrap().remove(field);
        }
        value => order[field] = value,
    }
    order.to_string()
}

/// Bodies that break rules, with the pointers that the answer must name.
fn invalid_orders() -> Vec<(String, Vec<&'static str>)> {
    let quantities = [json!(0), json!(-1), json!(1001), json!(1.5), json!(0.0), json!("2"), json!(true), json!(1e300)];
    let emails = [
        "nobody",
        "",
        "a@b",
        "Ada <ada@example.com>",
        "ada@example.com\r\nBcc: eve@example.com",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@b.c",
    ];
    let products =
        ["", "   ", "Mug\r\nX: y", "nul\0", "tab\t", "\u{200b}\u{feff}", "\u{2800}", "\u{a0}\u{202e}", "\u{e0041}"];
    let mut bodies = vec![
        ("{}".to_owned(), vec!["/product", "/quantity", "/email"]),
        ("[]".to_owned(), vec![""]),
        ("null".to_owned(), vec![""]),
        (with("coupon", json!("x")), vec!["/coupon"]),
        (with("id", json!(1)), vec!["/id"]),
        (with("product", json!("x".repeat(201))), vec!["/product"]),
        (with("product", json!(["Mug"])), vec!["/product"]),
        (with("email", json!(format!("{}@example.com", "x".repeat(250)))), vec!["/email"]),
        (with("quantity", json!(0)).replace("Espresso machine", ""), vec!["/product", "/quantity"]),
        (with("product", json!("x")).replace("\"quantity\":2", "\"quantity\":2,\"quantity\":2"), vec!["/quantity"]),
        (with("product", json!("x")).replace(":2", &format!(":{}", "9".repeat(400))), vec!["/quantity"]),
        (with("product", json!("x")).replace(":2", ":null"), vec!["/quantity"]),
    ];
    bodies.extend(["product", "quantity", "email"].map(|field| {
        let pointer = ["/product", "/quantity", "/email"].into_iter().find(|pointer| pointer[1..] == *field).unwrap();
        (with(field, Value::Null), vec![pointer])
    }));
    bodies.extend(quantities.map(|quantity| (with("quantity", quantity), vec!["/quantity"])));
    bodies.extend(emails.map(|email| (with("email", json!(email)), vec!["/email"])));
    bodies.extend(products.map(|product| (with("product", json!(product)), vec!["/product"])));
    bodies
}

async fn send(api: &Api, content_type: &'static str, body: impl Into<reqwest::Body>) -> Answer {
    Answer::to(api.client.post(api.url("/api/orders")).header("content-type", content_type).body(body)).await
}

both_engines! {
    async fn an_invalid_order_writes_nothing(engine: Engine) {
        let api = Api::start(engine).await;
        let invalid = invalid_orders();
        for (body, pointers) in &invalid {
            assert_eq!(send(&api, JSON, body.clone()).await.problem(422, "invalid-order"), *pointers, "{body}");
        }

        let good = good_order().to_string();
        let malformed: [&[u8]; 7] =
            [b"", b"{", b"{'a':1}", b"nonsense", b"{\"product\":\"\xff\"}", b"{} {}", b"{\"product\":\"a\nb\"}"];
        for body in malformed {
            send(&api, JSON, body).await.problem(400, "malformed-json");
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""] {
            send(&api, content_type, good.clone()).await.problem(415, "unsupported-media-type");
        }
        Answer::to(api.client.post(api.url("/api/orders")).body(good)).await.problem(415, "unsupported-media-type");
        let too_long = with("product", json!("x".repeat(BODY_BYTES_MAX)));
        send(&api, JSON, too_long).await.problem(413, "too-large");

        assert_eq!(api.rows().await, (0, 0));
        assert!(api.shows(&format!(r#"orders_place_total{{outcome="refused"}} {}"#, invalid.len() + malformed.len())));
    }

    async fn a_bad_id_is_refused_by_the_name_of_its_parameter(engine: Engine) {
        let api = Api::start(engine).await;
        let bad = ["1", "nonsense", "019aab1e5c3a7d529e1f3f2b8c6d4a10", "%7B019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10%7D", "%ff", "a%00b"];
        for id in bad {
            assert_eq!(api.get(&format!("/api/orders/{id}")).await.problem(400, "malformed-id"), ["id"], "{id}");
            assert_eq!(api.post(&format!("/api/orders/{id}/cancel")).await.problem(400, "malformed-id"), ["id"], "{id}");
        }
    }
}

#[tokio::test]
async fn a_content_type_may_name_its_charset() {
    let api = Api::start(Engine::MySql).await;
    assert_eq!(send(&api, "Application/JSON; charset=utf-8", good_order().to_string()).await.status, 201);
}

#[tokio::test]
async fn what_does_not_exist_is_answered_with_a_problem() {
    let api = Api::start(Engine::MySql).await;
    api.get("/nowhere").await.problem(404, "not-found");
    let refused = Answer::to(api.client.delete(api.url("/api/orders"))).await;
    refused.problem(405, "method-not-allowed");
    assert_eq!(refused.header("allow"), "POST,GET,HEAD");
    api.get("/api/orders/019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10/cancel").await.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn a_compressed_body_is_refused_as_such() {
    let api = Api::start(Engine::MySql).await;
    let place = async |coding: &str, body: &'static [u8]| {
        let request = api.client.post(api.url("/api/orders")).header("content-type", JSON);
        Answer::to(request.header("content-encoding", coding).body(body)).await
    };
    for coding in ["gzip", "identity, gzip", "br", ""] {
        place(coding, b"\x1f\x8b\x08").await.problem(415, "unsupported-content-encoding");
    }
    let order = br#"{"product":"Espresso machine","quantity":2,"email":"ada@example.com"}"#;
    assert_eq!(place("identity", order).await.status, 201);
}

#[tokio::test]
async fn a_plus_sign_that_became_a_space_is_told_of() {
    let api = Api::start(Engine::MySql).await;
    for (query, right) in [
        ("email=a+b@example.com", "email=a%2Bb@example.com"),
        ("created_from=2026-11-22T11:30:00+00:00", "created_from=2026-11-22T11:30:00%2B00:00"),
    ] {
        let refused = api.get(&format!("/api/orders?{query}")).await;
        refused.problem(400, "invalid-query");
        assert!(refused.text.contains("%2B"), "{}", refused.text);
        assert_eq!(api.get(&format!("/api/orders?{right}")).await.status, 200);
    }
}
