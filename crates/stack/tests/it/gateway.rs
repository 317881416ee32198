//! The gateway: real nginx with the real configuration, in front of services that write down what reaches them.

mod encrypted;
mod limits;
mod operations;
mod services;
mod tls;
mod webhook;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stack::home::Home;
use stack::port::Port;
use stack::process::Output;
use stack::server::{Gateway, Nginx};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// nginx and what its two services have seen: each request's head.
struct Setup {
    gateway: Port,
    operations: Port,
    seen: Arc<Mutex<Vec<String>>>,
    _nginx: Nginx,
    _folder: TempDir,
}

impl Setup {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(tls: Option<(PathBuf, PathBuf)>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let order_svc = service("order-svc", Arc::clone(&seen)).await;
        Self::start_before(order_svc, tls, seen).await
    }

    /// In front of another order-svc.
    async fn start_before(order_svc: String, tls: Option<(PathBuf, PathBuf)>, seen: Arc<Mutex<Vec<String>>>) -> Self {
        let notify_svc = service("notify-svc", Arc::clone(&seen)).await;
        Self::start_behind([order_svc, notify_svc], tls, seen, false).await
    }

    /// In front of another notify-svc, with a door of their own for operations.
    async fn start_before_notify_svc(notify_svc: String) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let order_svc = service("order-svc", Arc::clone(&seen)).await;
        Self::start_behind([order_svc, notify_svc], None, seen, true).await
    }

    /// With a door of their own for operations.
    async fn start_with_operations() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let [order_svc, notify_svc] = ["order-svc", "notify-svc"].map(|name| service(name, Arc::clone(&seen)));
        Self::start_behind([order_svc.await, notify_svc.await], None, seen, true).await
    }

    async fn start_behind(
        [order_svc, notify_svc]: [String; 2],
        tls: Option<(PathBuf, PathBuf)>,
        seen: Arc<Mutex<Vec<String>>>,
        has_operations: bool,
    ) -> Self {
        let (gateway, operations, folder) = (Port::reserve(), Port::reserve(), tempfile::tempdir().unwrap());
        let settings = Gateway {
            operations: has_operations.then(|| operations.number()),
            listen: format!("127.0.0.1:{}", gateway.number()),
            tls,
            order_svc,
            notify_svc,
            payment_svc: service("payment-svc", Arc::clone(&seen)).await,
            services_tls: None,
            folder: folder.path().join("gateway"),
            output: Output::File(folder.path().join("nginx.log")),
        };
        let nginx = Nginx::start(&Home::find().unwrap(), &settings).await.unwrap();
        Self { gateway, operations, seen, _nginx: nginx, _folder: folder }
    }

    /// Sends bytes as they are; the answer's status and whole text.
    async fn raw(&self, request: &str) -> (u16, String) {
        let answer = self.exchange(request).await;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), answer)
    }

    async fn exchange(&self, request: &str) -> String {
        Self::exchange_at(&self.gateway, request).await
    }

    async fn exchange_at(port: &Port, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port.number())).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        // A reset after the answer is how a connection with unread bytes ends.
        read.await.expect("the gateway closes the connection").ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(&self, target: &str) -> (u16, String) {
        self.raw(&format!("GET {target} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")).await
    }

    /// The request lines that reached a service, each behind its name.
    fn seen(&self) -> Vec<String> {
        let heads = self.seen.lock().unwrap();
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }

    /// The last head that reached a service, in lower case.
    fn last_head(&self) -> String {
        self.seen.lock().unwrap().last().unwrap().to_lowercase()
    }
}

/// A service that writes down each request and answers 200 with its name; the second request on a connection it drops,
/// as one that restarts would, and a path with `hang` it never answers.
async fn service(name: &'static str, seen: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, name, Arc::clone(&seen)));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, name: &'static str, seen: Arc<Mutex<Vec<String>>>) {
    for first in [true, false] {
        let mut head = vec![0; 64 * 1024];
        let length = stream.read(&mut head).await.unwrap_or(0);
        if length == 0 {
            return;
        }
        let head = String::from_utf8_lossy(&head[..length]).into_owned();
        let hangs = head.contains("/hang");
        seen.lock().unwrap().push(format!("{name} {head}"));
        if hangs {
            std::future::pending::<()>().await;
        }
        if first {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            stream.write_all(answer.as_bytes()).await.ok();
        }
    }
}

#[tokio::test]
async fn the_public_paths_reach_their_service_unchanged() {
    let setup = Setup::start().await;
    let routes = [
        ("/api/orders", "order-svc GET /api/orders HTTP/1.1"),
        ("/api/orders/1/cancel?x=a/../b", "order-svc GET /api/orders/1/cancel?x=a/../b HTTP/1.1"),
        ("/api/events/status", "notify-svc GET /api/events/status HTTP/1.1"),
        ("/api/notifications?order_id=1", "notify-svc GET /api/notifications?order_id=1 HTTP/1.1"),
        ("/docs/order-service/", "order-svc GET /docs/ HTTP/1.1"),
        ("/docs/notification-service/openapi.json", "notify-svc GET /docs/openapi.json HTTP/1.1"),
        ("/health/order-service", "order-svc GET /health/order-service HTTP/1.1"),
        ("/health/notification-service", "notify-svc GET /health/notification-service HTTP/1.1"),
    ];
    for (path, expected) in routes {
        assert_eq!(setup.get(path).await.0, 200, "{path}");
        assert_eq!(setup.seen().last().unwrap(), expected);
    }
}

/// Swagger UI asks at these paths, from the gateway's own origin.
#[tokio::test]
async fn the_documents_paths_lead_to_the_service_that_they_describe() {
    let setup = Setup::start().await;
    for service in ["order-svc", "notify-svc", "payment-svc"] {
        // A customer's address is told within the cluster alone.
        for path in services::documented_paths(service).into_iter().filter(|path| !path.ends_with("/recipient")) {
            let path = path.replace("{id}", "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10");
            assert_eq!(setup.get(&path).await.0, 200, "{path}");
            assert_eq!(setup.seen().last().unwrap(), &format!("{service} GET {path} HTTP/1.1"));
        }
    }
}

#[tokio::test]
async fn the_gateway_answers_for_itself() {
    let setup = Setup::start().await;
    for path in ["/", "/?order=1", "/console/app.js", "/console/base.css", "/console/uplot-license.txt", "/health"] {
        assert_eq!(setup.get(path).await.0, 200, "{path}");
    }
    assert!(setup.get("/health").await.1.ends_with(r#"{"status":"ok"}"#));
    assert!(setup.seen().is_empty());
}

#[tokio::test]
async fn admin_paths_and_path_tricks_reach_no_service() {
    let setup = Setup::start().await;
    let refused = [
        ("/metrics", 404),
        ("/livez", 404),
        ("/readyz", 404),
        ("/docs/", 404),
        ("/api/ordersx", 404),
        ("/api/orders/019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10/recipient", 404),
        ("/api/orders/019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10/recipient?x", 404),
        ("http://127.0.0.1:9081/metrics", 404),
        ("/api/orders/../../metrics", 400),
        ("/api/orders/%2e%2e/metrics", 400),
        ("/api/orders/..%2fmetrics", 400),
        ("/api/orders//1", 400),
        ("/api/orders/%00", 400),
        ("/api/orders/%0d%0aX: y", 400),
        ("/docs/order-service/../../metrics", 400),
    ];
    for (path, status) in refused {
        let (answered, text) = setup.get(path).await;
        assert_eq!(answered, status, "{path}");
        assert!(text.contains("application/problem+json"), "{path}: {text}");
    }
    assert!(setup.seen().is_empty(), "{:?}", setup.seen());
}

#[tokio::test]
async fn malformed_and_smuggled_requests_reach_no_service() {
    let setup = Setup::start().await;
    let head = "POST /api/orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n";
    let refused = [
        (format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), 400),
        (format!("{head}Content-Length: +5\r\n\r\nhello"), 400),
        (format!("{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{head}Content-Length: 65537\r\n\r\n"), 413),
        (format!("{head}X-Long: {}\r\n\r\n", "x".repeat(9000)), 431),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 501),
        (format!("{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{head}X-Folded: a\r\n b\r\n\r\n"), 400),
        (format!("{head}X-Nul: a\0b\r\n\r\n"), 400),
        ("POST /api/orders HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        ("CONNECT order-svc:9081 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("GET /api/orders HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("GET /api/orders HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("TRACE /api/orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".to_owned(), 405),
        (format!("GET /{} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n", "x".repeat(9000)), 414),
    ];
    for (request, status) in refused {
        assert_eq!(setup.raw(&request).await.0, status, "{}", request.chars().take(120).collect::<String>());
    }
    let answer = setup.exchange("GET /api/orders\r\n").await; // HTTP/0.9 knows no status
    assert!(answer.starts_with('{') && answer.contains("malformed"), "{answer}");
    assert!(setup.seen().is_empty(), "{:?}", setup.seen());
}

#[tokio::test]
async fn a_request_id_is_kept_if_well_formed_and_returned_once() {
    let setup = Setup::start().await;
    for (sent, kept) in [("abc-1._x", true), ("not well formed", false)] {
        let (_, text) = setup
            .raw(&format!("GET /health HTTP/1.1\r\nHost: shop\r\nX-Request-Id: {sent}\r\nConnection: close\r\n\r\n"))
            .await;
        let ids: Vec<_> = text.lines().filter(|line| line.to_lowercase().starts_with("x-request-id: ")).collect();
        assert_eq!(ids.len(), 1, "{text}");
        assert_eq!(ids[0].ends_with(&format!(": {sent}")), kept, "{text}");
    }
}

/// A body that looks like a second request stays a body; a second request on the connection goes through the gate itself.
#[tokio::test]
async fn a_request_inside_a_body_is_no_request() {
    let setup = Setup::start().await;
    let inner = "GET /metrics HTTP/1.1\r\nHost: shop\r\n\r\n";
    let outer = format!("POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let next = "GET /livez HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    let (status, text) = setup.raw(&format!("{outer}{next}")).await;
    assert_eq!((status, text.matches("HTTP/1.1 404").count()), (200, 1), "{text}");
    assert_eq!(setup.seen(), ["order-svc POST /api/orders HTTP/1.1"]);
}

#[tokio::test]
async fn what_a_client_claims_about_its_way_is_not_passed_on() {
    let setup = Setup::start().await;
    let claims = "X-Forwarded-For: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\nX-Forwarded-Proto: https\r\n\
                  X-Real-Ip: 10.9.9.9\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n";
    setup.raw(&format!("GET /api/orders HTTP/1.1\r\nHost: shop\r\n{claims}\r\n")).await;
    let head = setup.last_head();
    assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n") && head.contains("x-forwarded-proto: http\r\n"), "{head}");
    assert!(!head.contains("10.9.9.9") && !head.contains("upgrade"), "{head}");
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_no_version() {
    let setup = Setup::start().await;
    for path in ["/", "/health", "/api/orders", "/nothing", "/api/orders//"] {
        let text = setup.get(path).await.1.to_lowercase();
        let head = text.split("\r\n\r\n").next().unwrap();
        for header in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "content-security-policy: default-src 'none'",
        ] {
            assert_eq!(head.matches(header).count(), 1, "{path}: {head}");
        }
        assert!(head.contains("server: nginx\r\n"), "{path}: {head}");
        assert!(!head.contains("strict-transport-security"), "{path}: {head}");
    }
}
