//! The names and labels of /metrics are an interface: dashboards and alerts rely on them.

use std::path::Path;

use stack::testing::{Database, Engine, Service};

use crate::api::{Answer, NO_NATS, USER, good_order};

#[tokio::test]
async fn metrics_keep_their_names_and_labels() {
    let database = Database::create(Engine::MySql, &schema::database::ORDERS).await;
    let service = Service::new(env!("CARGO_BIN_EXE_order-svc"));
    let service = service.env("DATABASE_URL", database.url(USER)).env("NATS_URL", NO_NATS).start().await;
    let client = reqwest::Client::new();
    assert_eq!(Answer::to(client.post(service.url("/api/orders")).json(&good_order())).await.status, 201);
    let text = Answer::to(client.get(service.admin_url("/metrics"))).await.text;
    let mut names: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("le=\"") && !line.starts_with("process_"))
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/metrics.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, names.join("\n") + "\n").unwrap();
    }
    assert_eq!(names.join("\n") + "\n", std::fs::read_to_string(golden).unwrap_or_default());
    assert!(text.contains("database_pool_connections{state=\"max\"} 16"), "{text}");
}
