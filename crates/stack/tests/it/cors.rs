//! Pages of other origins ask real services, which ask for tokens.

use reqwest::{Client, Method, Response};
use schema::database::{Definition, NOTIFICATIONS, ORDERS, PAYMENTS};
use stack::Engine;
use stack::issuer::Issuer;
use stack::testing::{Database, Service, binary, eventually};

const NAMED: &str = "https://shop.example";
const SECOND: &str = "http://localhost:3000";

/// What a browser asks before a page of this origin may send a token.
async fn preflight(url: &str, origin: &str) -> Response {
    let request = Client::new().request(Method::OPTIONS, url).header("origin", origin);
    let request = request.header("access-control-request-method", "GET");
    request.header("access-control-request-headers", "authorization,idempotency-key").send().await.unwrap()
}

fn header(answer: &Response, name: &str) -> Option<String> {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_lowercase())
}

/// Whether the answer lets a page of an origin read it.
fn allowed(answer: &Response) -> Option<String> {
    header(answer, "access-control-allow-origin")
}

/// A service that asks for tokens; nobody has one.
async fn start(name: &str, database: &Database, user: &str, origins: Option<&str>, jwks: &std::path::Path) -> Service {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/cors");
    let service =
        Service::new(binary(name)).env("DATABASE_URL", database.url(user)).env("NATS_URL", "nats://127.0.0.1:1");
    let service =
        service.env("EMAIL_TRANSPORT", "log").env("PAYMENT_PROVIDER", "simulated").env("PAYMENT_SIMULATOR_DIR", folder);
    let service = Issuer::settings(jwks).into_iter().fold(service, |service, (name, value)| service.env(name, value));
    let mut service = origins.into_iter().fold(service, |service, origins| service.env("CORS_ORIGINS", origins));
    service.spawn();
    eventually("it answers", async || reqwest::get(service.url("/docs/openapi.json")).await.is_ok()).await;
    service
}

#[tokio::test]
async fn a_page_of_a_named_origin_may_ask_each_service_and_no_other_may() {
    let (issuer, folder) = (Issuer::generate("first").unwrap(), tempfile::tempdir().unwrap());
    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, issuer.jwks()).unwrap();
    let services: [(&str, &Definition, &str, &str); 3] = [
        ("order-svc", &ORDERS, "order_svc", "/api/orders"),
        ("notify-svc", &NOTIFICATIONS, "notify_svc", "/api/notifications"),
        ("payment-svc", &PAYMENTS, "payment_svc", "/api/payments"),
    ];
    for (name, definition, user, path) in services {
        let database = Database::create(Engine::MySql, definition).await;
        let service = start(name, &database, user, Some(&format!("{NAMED},{SECOND}")), &jwks).await;
        let url = service.url(path);
        for origin in [NAMED, SECOND] {
            let answer = preflight(&url, origin).await;
            assert!(answer.status().is_success(), "{name}: {answer:?}");
            assert_eq!(allowed(&answer).as_deref(), Some(origin), "{name}");
            let headers = header(&answer, "access-control-allow-headers").unwrap();
            assert!(headers.contains("authorization") && headers.contains("idempotency-key"), "{name}: {headers}");
            assert_eq!(header(&answer, "access-control-allow-credentials"), None, "{name}");

            let answer = Client::new().get(&url).header("origin", origin).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), allowed(&answer).as_deref()),
                (401, Some(origin)),
                "{name}: a page reads refusals"
            );
            assert!(header(&answer, "access-control-expose-headers").unwrap().contains("etag"), "{name}");
            assert!(header(&answer, "vary").unwrap().contains("origin"), "{name}");
        }
        for origin in ["https://shop.example.evil", "http://shop.example", "null", "https://evil.example"] {
            assert_eq!(allowed(&preflight(&url, origin).await), None, "{name}: {origin}");
            let answer = Client::new().get(&url).header("origin", origin).send().await.unwrap();
            assert_eq!(allowed(&answer), None, "{name}: {origin}");
        }
        drop(service);

        let service = start(name, &database, user, None, &jwks).await;
        let url = service.url(path);
        let answer = preflight(&url, NAMED).await;
        assert_eq!((answer.status().as_u16(), allowed(&answer)), (405, None), "{name}: off unless it is configured");
        let answer = Client::new().get(&url).header("origin", NAMED).send().await.unwrap();
        assert_eq!(allowed(&answer), None, "{name}");
    }
}
