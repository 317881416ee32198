//! The services of the web store as processes, and an order.

use serde_json::{Value, json};
use stack::service::Program;
use stack::testing::{Database, Nats, Service, binary};

/// A service under its users at the database and at NATS.
pub(crate) fn service(program: Program, database: &Database, nats: &Nats) -> Service {
    let service = Service::new(binary(program.file()))
        .env("DATABASE_URL", database.url(program.user()))
        .env("NATS_URL", nats.url())
        .env("NATS_USER", program.name())
        .env("NATS_PASSWORD", Nats::PASSWORD);
    program.settings().into_iter().fold(service, |service, (name, value)| service.env(name, value))
}

pub(crate) async fn place(order_svc: &Service, product: &str) -> String {
    let order = json!({ "product": product, "quantity": 2, "email": "ada@example.com" });
    let placed = reqwest::Client::new().post(order_svc.url("/api/orders")).json(&order).send().await.unwrap();
    assert_eq!(placed.status(), 201);
    placed.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}
