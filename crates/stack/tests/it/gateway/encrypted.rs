//! The gateway in front of services that speak TLS: Debian's nginx and the real order-svc.

use schema::database::ORDERS;
use stack::Engine;
use stack::home::Home;
use stack::port::Port;
use stack::process::Output;
use stack::server::{Gateway, Nginx};
use stack::testing::{Database, Service};
use tempfile::TempDir;

use crate::authority::{Authority, Flaw, Signed};
use crate::identity::order_svc;

/// A gateway that holds order-svc to an authority.
struct Door {
    port: Port,
    _nginx: Nginx,
    _folder: TempDir,
}

impl Door {
    async fn before(service: &Service, trusted: &Authority) -> Door {
        let (port, folder) = (Port::reserve(), tempfile::tempdir().unwrap());
        let address = service.url("").trim_start_matches("http://").to_owned();
        let settings = Gateway {
            listen: format!("127.0.0.1:{}", port.number()),
            operations: None,
            tls: None,
            order_svc: address.clone(),
            notify_svc: address.clone(),
            payment_svc: address,
            services_tls: Some((trusted.file(), "localhost".to_owned())),
            folder: folder.path().join("gateway"),
            output: Output::File(folder.path().join("nginx.log")),
        };
        Door { _nginx: Nginx::start(&Home::find().unwrap(), &settings).await.unwrap(), port, _folder: folder }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.port.number())).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

async fn serving(database: &Database, Signed { certificate, key }: &Signed) -> Service {
    let service = order_svc(database).env("HTTP_CERT_FILE", certificate.to_str().unwrap());
    service.env("HTTP_KEY_FILE", key.to_str().unwrap()).start().await
}

#[tokio::test]
async fn a_gateway_reaches_services_by_tls_and_only_those_that_prove_their_name() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let [authority, other] = [Authority::new(), Authority::new()];
    let service = serving(&database, &authority.sign("order-svc", Flaw::None)).await;
    let door = Door::before(&service, &authority).await;
    for (path, told) in [
        ("/api/orders?limit=1", "orders"),
        ("/health/order-service", "ok"),
        ("/docs/order-service/", "swagger"),
        ("/docs/order-service/openapi.json?x=1", "openapi"),
    ] {
        let (status, text) = door.get(path).await;
        assert!(status == 200 && text.contains(told), "{path}: {status} {text}");
    }
    let refused = async |door: &Door| {
        let (status, text) = door.get("/api/orders").await;
        assert!(status == 502 && text.contains("upstream-unreachable"), "{status} {text}");
    };
    refused(&Door::before(&service, &other).await).await;
    for flaw in [Flaw::Expired, Flaw::OfAnother] {
        let service = serving(&database, &authority.sign("flawed", flaw)).await;
        refused(&Door::before(&service, &authority).await).await;
    }
}
