use std::io::ErrorKind;
use std::time::Duration;

use stack::testing::TcpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A server that sends back what it gets; its port.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    port
}

async fn says(stream: &mut TcpStream, word: &[u8; 4]) {
    stream.write_all(word).await.unwrap();
    hears(stream, word).await;
}

async fn hears<const LENGTH: usize>(stream: &mut TcpStream, word: &[u8; LENGTH]) {
    let mut answer = [0; LENGTH];
    timeout(Duration::from_secs(20), stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
    assert_eq!(&answer, word);
}

async fn hears_nothing(stream: &mut TcpStream, fault: &str) {
    let silence = timeout(Duration::from_millis(200), stream.read(&mut [0; 4])).await;
    assert!(silence.is_err(), "{fault}: {silence:?}");
}

#[tokio::test]
async fn a_cut_closes_connections_and_refuses_new_ones_until_healed() {
    let mut proxy = TcpProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    says(&mut stream, b"ping").await;

    proxy.cut().await;
    let end = timeout(Duration::from_secs(20), stream.read(&mut [0; 4])).await.expect("the end is noticed");
    assert!(matches!(end, Ok(0) | Err(_)));
    let refused = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    proxy.heal().await;
    says(&mut TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap(), b"pong").await;
}

#[tokio::test]
async fn a_pause_holds_bytes_back_and_healing_lets_them_through() {
    let mut proxy = TcpProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    says(&mut stream, b"ping").await;

    proxy.pause().await;
    stream.write_all(b"held").await.unwrap();
    hears_nothing(&mut stream, "a byte came through a paused proxy").await;

    proxy.heal().await;
    hears(&mut stream, b"held").await;
}

#[tokio::test]
async fn lost_connections_stay_silent_and_new_ones_are_as_ever() {
    let mut proxy = TcpProxy::start(echo().await).await;
    let mut lost = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    says(&mut lost, b"ping").await;

    proxy.lose().await;
    let mut new = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    says(&mut new, b"pong").await;
    proxy.heal().await;
    lost.write_all(b"lost").await.unwrap();
    says(&mut new, b"ping").await;
    hears_nothing(&mut lost, "a lost connection is heard of").await;
}

#[tokio::test]
async fn what_a_hold_kept_arrives_in_the_end_and_new_connections_are_as_ever() {
    let mut proxy = TcpProxy::start(echo().await).await;
    let mut held = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    says(&mut held, b"ping").await;

    proxy.hold().await;
    held.write_all(b"late").await.unwrap();
    says(&mut TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap(), b"pong").await;
    hears_nothing(&mut held, "a held connection is heard of").await;
    proxy.heal().await;
    hears(&mut held, b"late").await;
}

#[tokio::test]
async fn a_target_that_is_down_closes_the_connection() {
    let nobody = stack::port::Port::reserve();
    let proxy = TcpProxy::start(nobody.number()).await;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let end = timeout(Duration::from_secs(20), stream.read(&mut [0; 4])).await.expect("the end is noticed");
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_slow_line_loses_nothing_and_healing_makes_it_quick_again() {
    let mut proxy = TcpProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    proxy.slow(Duration::from_secs(3600)).await;
    stream.write_all(b"late").await.unwrap();
    hears_nothing(&mut stream, "a byte came through at once").await;

    proxy.heal().await;
    hears(&mut stream, b"late").await;
    says(&mut stream, b"ping").await;
}

#[tokio::test]
async fn bytes_that_cut_do_not_reach_the_server_and_what_came_before_them_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut proxy = TcpProxy::start(listener.local_addr().unwrap().port()).await;
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    proxy.cut_before(b"now");
    for word in ["not yet, n", "ever, but no", "w it is over"] {
        client.write_all(word.as_bytes()).await.unwrap();
    }
    proxy.until_cut().await;
    let mut received = String::new();
    timeout(Duration::from_secs(20), server.read_to_string(&mut received)).await.expect("the end").unwrap();
    // Of bytes that come in pieces the first may have passed.
    assert!(["not yet, never, but ", "not yet, never, but no"].contains(&received.as_str()), "{received}");

    proxy.heal().await;
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"now").await.unwrap();
    hears(&mut server, b"now").await;
}

#[tokio::test]
async fn a_deaf_proxy_brings_requests_and_no_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut proxy = TcpProxy::start(listener.local_addr().unwrap().port()).await;
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    proxy.deafen().await;
    client.write_all(b"asks").await.unwrap();
    hears(&mut server, b"asks").await;
    server.write_all(b"told").await.unwrap();
    hears_nothing(&mut client, "an answer came through a deaf proxy").await;
    proxy.heal().await;
    hears(&mut client, b"told").await;
}
