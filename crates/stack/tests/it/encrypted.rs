//! The APIs by TLS: real services, which are asked by real clients and by some that are none.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use schema::database::{NOTIFICATIONS, ORDERS};
use schema::scope;
use serde_json::{Value, json};
use stack::issuer::Issuer;
use stack::testing::{Database, Nats, Service, binary, eventually};
use stack::{Engine, both_engines};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::authority::{Authority, Flaw, Signed};
use crate::identity::order_svc;
use crate::services::{Services, run};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn with(service: Service, Signed { certificate, key }: &Signed) -> Service {
    service.env("HTTP_CERT_FILE", text(certificate)).env("HTTP_KEY_FILE", text(key))
}

fn address(service: &Service) -> String {
    service.url("").trim_start_matches("http://").to_owned()
}

fn order() -> String {
    json!({"product": "Mug", "quantity": 1, "email": "ada@example.com"}).to_string()
}

/// What a service answers on a connection of its own, if this authority vouches for it.
async fn ask(service: &Service, trusted: &Authority, request: &str) -> io::Result<String> {
    let mut stream = trusted.connect(&address(service)).await?;
    stream.write_all(request.as_bytes()).await?;
    Ok(String::from_utf8(rest(&mut stream).await).unwrap())
}

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";

/// What comes until the other side ends the connection; a reset is an end.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest));
    read.await.expect("the connection ends").ok();
    rest
}

both_engines! {
    async fn notify_svc_learns_the_recipient_by_tls_from_who_proves_to_be_order_svc(engine: Engine) {
        let orders = Database::create(engine, &ORDERS).await;
        let notifications = Database::create(engine, &NOTIFICATIONS).await;
        let (nats, authority) = (Nats::start_with_accounts().await, Authority::new());
        let (issuer, jwks) = (Issuer::generate("first").unwrap(), authority.folder().join("jwks.json"));
        std::fs::write(&jwks, issuer.jwks()).unwrap();
        let mut services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url());
        for (name, value) in Issuer::settings(&jwks) {
            services = services.env(name, &value);
        }
        let trusted = authority.folder().join("trusted.pem");
        std::fs::copy(Authority::new().file(), &trusted).unwrap();
        services.order_svc = with(services.order_svc, &authority.sign("order-svc", Flaw::None));
        let url = format!("https://{}", address(&services.order_svc));
        services.notify_svc = services.notify_svc
            .env("ORDERS_URL", url)
            .env("ORDERS_TOKEN", issuer.token("notify-svc", &[scope::RECIPIENTS]).unwrap())
            .env("ORDERS_CA_FILE", text(&trusted));
        let mut services = services.start().await;
        let (token, order) = (issuer.token("ada", &[scope::ORDERS]).unwrap(), order());
        let length = order.len();
        let request = format!(
            "POST /api/orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{order}"
        );
        let placed = ask(&services.order_svc, &authority, &request).await.unwrap();
        assert!(placed.starts_with("HTTP/1.1 201 "), "{placed}");

        let pool = notifications.admin_pool().await;
        eventually("nobody is asked who can't prove to be order-svc", async || {
            let errors: Vec<Option<String>> = sqlx::query_scalar("SELECT last_error FROM effect").fetch_all(&pool).await.unwrap();
            errors.iter().flatten().any(|error| error.contains("UnknownIssuer"))
        })
        .await;
        assert!(services.emails().is_empty());

        std::fs::copy(authority.file(), &trusted).unwrap();
        services.notify_svc.kill().await;
        services.notify_svc.restart().await;
        eventually("the email is sent", async || !services.emails().is_empty()).await;
        assert!(std::fs::read_to_string(&services.emails()[0]).unwrap().contains("ada@example.com"));
    }
}

#[tokio::test]
async fn a_renewed_certificate_needs_no_restart_and_a_broken_one_changes_nothing() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let [first, second] = [Authority::new(), Authority::new()];
    let served = first.sign("order-svc", Flaw::None);
    let service = with(order_svc(&database), &served).start().await;
    let is_trusted = async |authority: &Authority| {
        ask(&service, authority, HEALTH).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    };
    assert!(is_trusted(&first).await && !is_trusted(&second).await);

    let renewed = second.sign("order-svc", Flaw::None);
    for broken in ["", "hunter2"] {
        std::fs::write(&served.key, broken).unwrap();
        assert!(is_trusted(&first).await && is_trusted(&first).await, "{broken:?}");
    }
    std::fs::copy(&renewed.certificate, &served.certificate).unwrap();
    std::fs::copy(first.sign("other", Flaw::None).key, &served.key).unwrap();
    assert!(is_trusted(&first).await, "half of a pair is none");
    std::fs::remove_file(&served.key).unwrap();
    assert!(is_trusted(&first).await);
    let told = service.log().matches("the renewed certificate can't be used").count();
    assert_eq!(told, 4, "each is told once: {}", service.log());
    assert!(!service.log().contains("hunter2"));

    std::fs::copy(&renewed.key, &served.key).unwrap();
    assert!(is_trusted(&second).await && !is_trusted(&first).await);
}

#[tokio::test]
async fn handshakes_that_never_end_hold_up_nobody_and_no_stop() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let authority = Authority::new();
    let mut service = with(order_svc(&database), &authority.sign("order-svc", Flaw::None)).start().await;
    // As many as are served at once; some have said half a hello.
    let mut idle = Vec::new();
    for number in 0..1024 {
        let mut stream = TcpStream::connect(address(&service)).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        }
        idle.push(stream);
    }
    assert!(ask(&service, &authority, HEALTH).await.unwrap().starts_with("HTTP/1.1 200 "));
    for stream in &mut idle {
        rest(stream).await;
    }
    let _silent = TcpStream::connect(address(&service)).await.unwrap();
    assert_eq!(service.terminate().await.code(), Some(0), "{}", service.log());
}

#[tokio::test]
async fn who_speaks_no_tls_gets_an_end_and_no_answer() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let authority = Authority::new();
    let service = with(order_svc(&database), &authority.sign("order-svc", Flaw::None)).start().await;
    let mut plain = TcpStream::connect(address(&service)).await.unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    let answer = rest(&mut plain).await;
    assert!(answer.is_empty() || answer[0] == 0x15, "an alert at most: {answer:?}");
    assert_eq!(reqwest::get(service.admin_url("/readyz")).await.unwrap().status(), 200, "the admin port is for probes");
}

#[tokio::test]
async fn what_is_asked_by_tls_is_answered_in_a_stop() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let authority = Authority::new();
    let mut service = with(order_svc(&database), &authority.sign("order-svc", Flaw::None)).start().await;
    let order = order();
    let mut stream = authority.connect(&address(&service)).await.unwrap();
    let head = format!(
        "POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        order.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut proceed = [0; 25];
    stream.read_exact(&mut proceed).await.unwrap();
    assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n");
    service.signal(Signal::SIGTERM);
    eventually("nobody new is let in", async || TcpStream::connect(address(&service)).await.is_err()).await;
    stream.write_all(order.as_bytes()).await.unwrap();
    let answer = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["quantity"], 1);
    assert_eq!(service.exited().await.code(), Some(0), "{}", service.log());
}

#[tokio::test]
async fn an_api_and_a_lookup_that_can_be_overheard_are_warned_of_once() {
    let authority = Authority::new();
    let signed = authority.sign("notify-svc", Flaw::None);
    for (orders_url, is_encrypted) in [("http://orders.invalid:8081", false), ("https://orders.invalid:8081", true)] {
        let service = Service::new(binary("notify-svc"))
            .env("DATABASE_URL", "mysql://nobody@127.0.0.1:1/nothing")
            .env("NATS_URL", "nats://127.0.0.1:1")
            .env("EMAIL_TRANSPORT", "log")
            .env("AUTH", "none")
            .env("HTTP_ADDR", "0.0.0.0:0")
            .env("ORDERS_URL", orders_url);
        let mut service = if is_encrypted { with(service, &signed) } else { service };
        service.spawn();
        eventually("it serves", async || service.log().contains("notify-svc serves")).await;
        for setting in ["HTTP_CERT_FILE", "ORDERS_URL"] {
            let log = service.log();
            let warned = log.lines().filter(|line| line.contains("WARN") && line.contains(setting)).count();
            assert_eq!(warned, usize::from(!is_encrypted), "{setting}: {log}");
        }
    }
}

#[test]
fn a_pair_that_is_none_ends_with_64_and_one_line() {
    let authority = Authority::new();
    let [one, other] = ["one", "other"].map(|name| authority.sign(name, Flaw::None));
    for program in ["order-svc", "notify-svc", "payment-svc"] {
        for (certificate, key, reason) in [
            (Some(&one.certificate), Some(&other.key), "the key is not the certificate's"),
            (Some(&one.certificate), None, "--http-key-file"),
            (None, Some(&one.key), "--http-cert-file"),
            (Some(&one.key), Some(&one.key), "holds no sound certificate"),
        ] {
            let mut environment = vec![
                ("DATABASE_URL", "mysql://nobody@127.0.0.1:1/nothing"),
                ("NATS_URL", "nats://127.0.0.1:1"),
                ("ADMIN_ADDR", "127.0.0.1:0"),
                ("HTTP_ADDR", "127.0.0.1:0"),
                ("ORDERS_URL", "http://127.0.0.1:1"),
                ("EMAIL_TRANSPORT", "log"),
                ("PAYMENT_PROVIDER", "simulated"),
                ("PAYMENT_SIMULATOR_DIR", "/nowhere"),
            ];
            environment.extend(certificate.map(|path| ("HTTP_CERT_FILE", text(path))));
            environment.extend(key.map(|path| ("HTTP_KEY_FILE", text(path))));
            let output = run(program, &["run"], &environment);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{program}: {said}");
            assert!(said.contains(reason), "{program}: {said}");
        }
    }
}
