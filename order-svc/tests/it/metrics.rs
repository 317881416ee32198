//! The names and labels of /metrics are an interface: dashboards and alerts rely on them.

use stack::testing::{Database, Engine, Service, assert_series};

use crate::api::{Answer, NO_NATS, USER, good_order};

#[tokio::test]
async fn metrics_keep_their_names_and_labels() {
    let database = Database::create(Engine::MySql, &schema::database::ORDERS).await;
    let service = Service::new(env!("CARGO_BIN_EXE_order-svc"));
    let service = service.env("DATABASE_URL", database.url(USER)).env("NATS_URL", NO_NATS).start().await;
    let client = reqwest::Client::new();
    assert_eq!(Answer::to(client.post(service.url("/api/orders")).json(&good_order())).await.status, 201);
    let text = Answer::to(client.get(service.admin_url("/metrics"))).await.text;
    assert_series(&text, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/metrics.txt"));
    assert!(text.contains("database_pool_connections{state=\"max\"} 16"), "{text}");
}
