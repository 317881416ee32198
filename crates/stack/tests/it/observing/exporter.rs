//! A stand-in for prometheus-nats-exporter, which no registry of packages has. It reads the same fields of nats-server's own
//! `/jsz` and tells them under the same names: as far as the rules ask, no further.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use stack::testing::{Nats, Port};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Listens on this port until it is dropped.
pub(super) async fn start(port: &Port, nats: &Nats) -> JoinSet<()> {
    let listener = TcpListener::bind(("127.0.0.1", port.number())).await.unwrap();
    let monitor = nats.monitor_url();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer =
                service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(told(&monitor).await))) });
            // Prometheus asks again a second later.
            drop(http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer).await);
        }
    });
    serving
}

async fn told(monitor: &str) -> Bytes {
    let Ok(answer) = reqwest::get(format!("{monitor}/jsz")).await else { return Bytes::new() };
    let info: Value = answer.json().await.unwrap();
    let (used, most) = (&info["bytes"], &info["config"]["max_storage"]);
    let server = r#"{server_name="stack"}"#;
    format!("jetstream_server_total_message_bytes{server} {used}\njetstream_server_max_storage{server} {most}\n").into()
}
