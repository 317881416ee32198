//! The gateway in front of the real order-svc: what only the two together can promise.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use schema::database::ORDERS;
use serde_json::Value;
use stack::Engine;
use stack::testing::{Database, Service, binary};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;

use super::Setup;

const ORDER: &str = r#"{"product":"Espresso machine","quantity":2,"email":"ada@example.com"}"#;

async fn order_svc(database: &Database) -> (Service, Setup) {
    let service = Service::new(binary("order-svc")).env("DATABASE_URL", database.url("order_svc"));
    let service =
        service.env("NATS_URL", "nats://127.0.0.1:1").env("CORS_ORIGINS", "https://shop.example").start().await;
    let address = service.url("").trim_start_matches("http://").to_owned();
    let setup = Setup::start_before(address, None, Arc::new(Mutex::new(Vec::new()))).await;
    (service, setup)
}

fn post(further: &str) -> String {
    let length = ORDER.len();
    format!(
        "POST /api/orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{further}\r\n"
    )
}

#[tokio::test]
async fn a_body_that_comes_a_byte_at_a_time_is_refused_in_time() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let (_service, setup) = order_svc(&database).await;
    let began = Instant::now();
    let stream = TcpStream::connect(("127.0.0.1", setup.gateway.number())).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(post("").as_bytes()).await.unwrap();
    let trickling = tokio::spawn(async move {
        let mut pace = interval(Duration::from_millis(250));
        for byte in ORDER.as_bytes() {
            pace.tick().await;
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(15), reading.read_to_end(&mut answer)).await.expect("an answer").ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body-timeout"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    trickling.abort();
    let orders: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&database.admin_pool().await).await.unwrap();
    assert_eq!(orders, 0);
    assert_eq!(setup.raw(&(post("") + ORDER)).await.0, 201, "one that comes at once is taken");
}

#[tokio::test]
async fn every_refusal_of_the_two_is_a_problem_document() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let (service, setup) = order_svc(&database).await;
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    let (status, text) = setup.raw(&(post(&many) + ORDER)).await;
    assert_eq!(status, 201, "what a service does not know ends at the gateway: {text}");
    let get =
        |path: &str, further: &str| format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{further}\r\n");
    let address = service.url("").trim_start_matches("http://").to_owned();
    let mut direct = TcpStream::connect(address).await.unwrap();
    direct.write_all(get("/api/orders", &many).as_bytes()).await.unwrap();
    let mut answer = String::new();
    direct.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("headers-too-large"), "{answer}");

    let refused = [
        (get("/docs/order-service/x", ""), 404, "not-found"),
        (get("/docs/order-service/x/y.js", ""), 404, "not-found"),
        (get("/api/orders?limit=%FF", ""), 400, "invalid-query"),
        (get("/api/orders/x/y/z", ""), 404, "not-found"),
        (post("Content-Encoding: gzip\r\n") + ORDER, 415, "unsupported-content-encoding"),
        (post("Idempotency-Key: a b\r\n") + ORDER, 400, "malformed-idempotency-key"),
        (post("If-Match: x\r\n").replace("/api/orders ", "/api/orders/x/cancel ") + ORDER, 400, "malformed-id"),
        (get("/api/orders", &format!("X: {}\r\n", "x".repeat(9000))), 431, "headers-too-large"),
    ];
    for (request, status, code) in refused {
        let (answered, text) = setup.raw(&request).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(answered, status, "{text}");
        assert!(head.to_lowercase().contains("content-type: application/problem+json"), "{text}");
        let body = body.trim_matches(|char: char| char.is_ascii_hexdigit() || char.is_ascii_whitespace());
        assert!(body.contains(&format!("\"code\":\"{code}\"")), "{text}");
    }
}

/// What a service documents as a header, and what a browser sends for a page of another origin.
#[tokio::test]
async fn each_header_that_a_service_understands_reaches_it() {
    let operations = operations();
    let parameters = operations.iter().flat_map(|operation| operation["parameters"].as_array().into_iter().flatten());
    let documented = parameters.filter(|parameter| parameter["in"] == "header").map(|it| it["name"].as_str().unwrap());
    let of_browsers = ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Authorization"];
    let names: BTreeSet<String> = documented.chain(of_browsers).map(str::to_lowercase).collect();
    assert!(names.len() > 8, "{names:?}");
    let headers: String = names.iter().map(|name| format!("{name}: 1\r\n")).collect();
    let setup = Setup::start().await;
    setup.raw(&format!("GET /api/orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{headers}\r\n")).await;
    let head = setup.last_head();
    let lost: Vec<_> = names.iter().filter(|name| !head.contains(&format!("\n{name}: 1\r"))).collect();
    assert!(lost.is_empty(), "{lost:?} of {head}");
}

#[tokio::test]
async fn a_page_of_a_named_origin_may_ask_through_the_gateway() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let (_service, setup) = order_svc(&database).await;
    for (origin, is_named) in [("https://shop.example", true), ("https://evil.example", false)] {
        let request = |method: &str, further: &str| {
            format!(
                "{method} /api/orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nOrigin: {origin}\r\n{further}\r\n"
            )
        };
        let asked = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
        for request in [request("OPTIONS", asked), request("GET", "")] {
            let (status, text) = setup.raw(&request).await;
            assert!((200..300).contains(&status), "{text}");
            let allowed = format!("access-control-allow-origin: {origin}\r");
            assert_eq!(text.to_lowercase().contains(&allowed), is_named, "{text}");
        }
    }
}

/// The codes and titles of nginx.conf, in the responses of each operation of the documents.
#[test]
fn what_the_gateway_answers_is_in_the_documents() {
    let conf = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../gateway/nginx.conf")).unwrap();
    let map = conf.split_once("map $status $problem_code {").unwrap().1.split_once('}').unwrap().0;
    let mut answers: Vec<(String, &str)> = map
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(';').split_once(' '))
        .map(|(status, code)| (status.replace("default", "500"), code.trim()))
        .collect();
    answers.sort();
    assert!(answers.len() > 10, "{answers:?}");
    for operation in operations() {
        for (status, code) in &answers {
            let examples = &operation["responses"][status]["content"]["application/problem+json"]["examples"];
            assert!(!examples[code].is_null(), "{} does not say {status} {code}", operation["operationId"]);
        }
    }
}

#[test]
fn an_operation_id_names_one_operation_of_all_services() {
    let operations = operations();
    let ids: BTreeSet<_> = operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len(), "{ids:?}");
}

/// The paths of a service's document.
pub(super) fn documented_paths(service: &str) -> Vec<String> {
    document(service)["paths"].as_object().unwrap().keys().cloned().collect()
}

/// What the documents of the services describe.
fn operations() -> Vec<Value> {
    let documents = ["order-svc", "notify-svc", "payment-svc"].map(document);
    let items = documents.iter().flat_map(|document| document["paths"].as_object().unwrap().values());
    items.flat_map(|item| item.as_object().unwrap().values().cloned()).collect()
}

fn document(service: &str) -> Value {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../{}/openapi.json"), service);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
