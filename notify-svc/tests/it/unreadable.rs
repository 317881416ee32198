//! Messages whose headers the NATS client can't read: it drops its connection over each of them.

use schema::ids::OrderId;
use schema::names;
use stack::testing::{eventually, eventually_within};
use stack::{Engine, both_engines};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::repairing::{events, processed, repairs};
use crate::setting::{Published, Setting, at_version, get, stat, verb_json};

const WITHIN: Duration = Duration::from_secs(15);

/// What no client of ours would send: a header block byte by byte.
async fn publish_raw(setting: &Setting, headers: &[u8], body: &str) {
    let stream = TcpStream::connect(("127.0.0.1", setting.nats.port())).await.unwrap();
    let mut stream = BufReader::new(stream);
    let block = [b"NATS/1.0\r\n", headers, b"\r\n\r\n"].concat();
    let publish = format!("HPUB order.created {} {}\r\n", block.len(), block.len() + body.len());
    let connect = &b"CONNECT {\"headers\":true,\"verbose\":false,\"protocol\":1}\r\n"[..];
    let all = [connect, publish.as_bytes(), &block, body.as_bytes(), b"\r\nPING\r\n"].concat();
    stream.write_all(&all).await.unwrap();
    let mut line = String::new();
    while !line.starts_with("PONG") {
        line.clear();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "nats-server hung up");
        assert!(!line.starts_with("-ERR"), "{line}");
    }
}

both_engines! {
    async fn a_message_that_the_client_can_not_read_is_kept_whole_and_the_next_go_on(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        setting.publish(&[&Published::created()]).await;
        setting.until_count("notifications", 1).await;
        let faults = [&b"name: caf\xe9"[..], b"a line without a colon", b"a name: with a blank", b" : ", b"\xff\xfe"];
        for (index, headers) in faults.iter().enumerate() {
            publish_raw(&setting, headers, "{}").await;
            let order = OrderId::generate();
            setting.publish(&[&at_version(1, order), &at_version(2, order)]).await;
            let rows = 2 * i64::try_from(index).unwrap() + 3;
            eventually_within(WITHIN, "the next are notified", async || setting.count("notifications").await == rows).await;
        }
        setting.until_count("inbox_dead", 5).await;
        setting.until_all_answered().await;
        let (_, dead) = verb_json(&setting, &["message", "show", "1"]);
        assert!(dead["reason"].as_str().unwrap().starts_with("unreadable headers: not UTF-8"), "{dead}");
        assert!(dead["headers"].to_string().contains("whole-headers-base64"), "{dead}");
        assert_eq!((&dead["body"], stat(&service, "terms").await), (&"{}".into(), 5));
    }

    async fn a_message_of_an_odd_name_is_not_taken_for_another_one(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        setting.publish(&[&Published::created()]).await;
        setting.until_count("notifications", 1).await;
        let odd = [
            "ce-id: one\r\n more",
            "ce-id: two\nother: lines end otherwise",
            "ce-id: \u{1f375} \u{e9}\u{a0}",
            "ce-id:",
            "CE-ID: 3\r\nce-id: 4\r\nce-id: 5",
            "Nats-Msg-Id: six\r\n\tmore",
        ];
        for (rows, headers) in (1..).zip(odd) {
            publish_raw(&setting, headers.as_bytes(), "{}").await;
            setting.until_count("inbox_dead", rows).await;
            setting.until_all_answered().await;
            // A process that starts compares the last message with the stream before it is ready.
            assert!(service.terminate().await.success());
            service.restart().await;
            assert_eq!(repairs(&service, "stream_rewritten").await, 0.0, "{headers:?}: {}", service.log());
        }
        assert_eq!(setting.count("inbox_reread").await, 0);
    }

    async fn a_message_that_the_client_panics_over_is_kept_by_the_next_process(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        publish_raw(&setting, b"name: one\rtwo", "{}").await;
        setting.publish(&[&Published::created()]).await;
        assert_eq!(service.exited().await.code(), Some(1));
        service.restart().await;
        setting.until_count("notifications", 1).await;
        setting.until_count("inbox_dead", 1).await;
        setting.until_all_answered().await;
    }

    async fn a_stream_made_again_is_noticed_by_a_message_that_the_client_can_not_read(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        processed(&setting).await;
        eventually("the position is known", async || {
            get(&service, "/api/events/status").await["position"]["floor"] == 5
        })
        .await;
        assert!(service.terminate().await.success());
        setting.jetstream().await.delete_stream(names::STREAM).await.unwrap();
        setting.create_stream().await;
        setting.publish(&events(4).iter().collect::<Vec<_>>()).await;
        publish_raw(&setting, b"name: caf\xe9", "{}").await;
        service.restart().await;
        setting.until_count("notifications", 9).await;
        setting.until_count("inbox_dead", 1).await;
        assert!(repairs(&service, "stream_rewritten").await >= 1.0);
    }

    async fn what_looks_like_a_status_is_a_message_all_the_same(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        publish_raw(&setting, b"Status: 404", "{}").await;
        setting.publish(&[&Published::created()]).await;
        setting.until_count("notifications", 1).await;
        setting.until_count("inbox_dead", 1).await;
    }
}
