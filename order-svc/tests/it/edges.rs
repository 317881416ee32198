//! What clients do that they should not: slow, half-open, oversize, wrong and too many.

use std::time::{Duration, Instant};

use futures::future::join_all;
use order_svc::config::BODY_TIMEOUT;
use stack::both_engines;
use stack::testing::{Database, Engine, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::{ACQUIRE_TIMEOUT, Answer, Api, NO_NATS, USER, good_order};

/// Sends bytes and returns all that comes back until the service closes the connection.
async fn talk(api: &Api, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

both_engines! {
    async fn an_exhausted_pool_is_503_within_the_bound(engine: Engine) {
        let (api, _server) = Api::alone(engine).await;
        let id = api.placed().await;
        let mut other = api.pool.begin().await.unwrap();
        sqlx::query("SELECT version FROM orders FOR UPDATE").execute(&mut *other).await.unwrap();
        let path = format!("/api/orders/{id}/cancel");
        let exhausted = async {
            eventually("all connections wait for the row", async || api.row_lock_waits().await == 4).await;
            let began = Instant::now();
            api.place().await.unavailable("database-unavailable");
            api.get("/health").await.unavailable("database-unavailable");
            assert!(began.elapsed() < ACQUIRE_TIMEOUT * 4, "{:?}", began.elapsed());
            other.rollback().await.unwrap();
        };
        let (cancelled, ()) = tokio::join!(join_all((0..4).map(|_| api.post(&path))), exhausted);
        assert!(cancelled.iter().all(|answer| answer.status == 200));
        api.placed().await;
        assert_eq!(api.rows().await, (2, 3));
    }

    async fn an_event_that_the_broker_would_refuse_is_not_committed(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let url = |database: &Database| database.url(USER);
        let api = Api::with_event_bytes_max(database, url, NO_NATS, "1024").await;
        api.place().await.problem(422, "event-too-large");
        assert_eq!(api.rows().await, (0, 0));
        assert!(api.shows(r#"orders_place_total{outcome="refused"} 1"#));
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_in_time() {
    let api = Api::start(Engine::MySql).await;
    let began = Instant::now();
    let answer = talk(
        &api,
        b"POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body-timeout"), "{answer}");
    assert!(began.elapsed() < BODY_TIMEOUT + Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(api.rows().await, (0, 0));
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed() {
    let api = Api::start(Engine::MySql).await;
    let began = Instant::now();
    let (silent, half) = tokio::join!(talk(&api, b""), talk(&api, b"GET /health HTTP/1.1\r\nHos"));
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    assert_eq!((silent.as_str(), half.starts_with("HTTP/1.1 2")), ("", false), "{half}");
    assert_eq!(api.get("/health").await.status, 200);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let api = Api::start(Engine::MySql).await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS\r\n\r\n"[..],
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let answer = talk(&api, garbage).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let head = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(500_000));
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    // The answer may come, and the connection end, before all is written.
    stream.write_all(head.as_bytes()).await.ok();
    let mut answer = [0; 12];
    if stream.read_exact(&mut answer).await.is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}

#[tokio::test]
async fn a_chunked_body_is_bounded_like_any_other() {
    let api = Api::start(Engine::MySql).await;
    let mut request = b"POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
    for _ in 0..20 {
        request.extend(format!("400\r\n{}\r\n", " ".repeat(1024)).bytes());
    }
    request.extend(b"0\r\n\r\n");
    let answer = talk(&api, &request).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("too-large"), "{answer}");
}

#[tokio::test]
async fn a_request_keeps_its_id_if_it_is_well_formed() {
    let api = Api::start(Engine::MySql).await;
    let ask = async |id: &str| Answer::to(api.client.get(api.url("/nowhere")).header("x-request-id", id)).await;
    assert_eq!(ask("abc-1.2_3").await.header("x-request-id"), "abc-1.2_3");
    let replaced = ask("evil id").await;
    assert_eq!(replaced.header("x-request-id").len(), 36);
    let order =
        Answer::to(api.client.post(api.url("/api/orders")).header("x-request-id", "mine").json(&good_order())).await;
    assert_eq!((order.status, order.header("x-request-id")), (201, "mine"));
}
