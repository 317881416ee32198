//! What one client may ask of the gateway, and what the gateway asks of a service again.

use std::time::Duration;

use futures::future::join_all;
use stack::testing::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Setup;

#[tokio::test]
async fn one_address_that_writes_too_fast_is_told_to_wait() {
    let setup = Setup::start().await;
    let post = "POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.extend(join_all((0..50).map(|_| setup.raw(post))).await);
    }
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status == 429).collect();
    assert!(!refused.is_empty(), "500 writes at once were let through");
    assert!(refused.iter().all(|(_, text)| text.contains("Retry-After: 1\r\n") && text.contains("rate-limited")));
    assert_eq!(setup.seen().len(), answers.len() - refused.len(), "a refused write reached the service");
    assert_eq!(setup.get("/health").await.0, 200, "reads are counted apart from writes");
}

#[tokio::test]
async fn one_address_holds_a_hundred_requests_open_and_no_more() {
    let setup = Setup::start().await;
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(("127.0.0.1", setup.gateway.number())).await.unwrap();
        stream.write_all(b"GET /api/orders/hang HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
        held.push(stream);
    }
    eventually("a hundred requests hang", async || setup.seen().len() == 100).await;
    assert_eq!(setup.get("/api/orders").await.0, 429);
    drop(held);
    eventually("there is room again", async || setup.get("/api/orders").await.0 == 200).await;
}

#[tokio::test]
async fn a_client_that_sends_no_end_is_hung_up_on() {
    let setup = Setup::start().await;
    let unfinished = ["POST /api/orders HTTP/1.1\r\nHost: shop\r\n", "POST /api/ord"];
    let connections = unfinished.map(|request| {
        let gateway = setup.gateway.number();
        async move {
            let mut stream = TcpStream::connect(("127.0.0.1", gateway)).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await;
            read.expect("the gateway hangs up").ok();
            answer
        }
    });
    for answer in join_all(connections).await {
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(setup.seen().is_empty(), "{:?}", setup.seen());
}

/// The service drops the second request on a connection. The client's one connection stays with one nginx worker, and so
/// with one upstream connection.
#[tokio::test]
async fn connections_to_a_service_are_kept_and_only_reads_are_tried_again() {
    let setup = Setup::start().await;
    let mut client = TcpStream::connect(("127.0.0.1", setup.gateway.number())).await.unwrap();
    assert_eq!(ask(&mut client, "GET").await, 200);
    assert_eq!(ask(&mut client, "GET").await, 200, "dropped on the kept connection, then tried on a fresh one");
    assert_eq!(setup.seen().len(), 3);
    assert_eq!(ask(&mut client, "POST").await, 502, "dropped on the kept connection, and the outcome is unknown");
    assert_eq!(setup.seen().len(), 4);
}

/// One request on a connection that stays; the answer's status.
async fn ask(client: &mut TcpStream, method: &str) -> u16 {
    let request = format!("{method} /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let mut part = vec![0; 4096];
        let length = client.read(&mut part).await.unwrap();
        answer.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return head.split(' ').nth(1).unwrap().parse().unwrap();
            }
        }
        assert_ne!(length, 0, "closed after {text:?}");
    }
}
