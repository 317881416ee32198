//! The document is an interface: what it says must be so.

use stack::testing::{Database, Engine, Service, fuzz};

use crate::api::{NO_NATS, USER};

#[tokio::test]
async fn a_schema_driven_fuzzer_finds_the_document_true() {
    let database = Database::create(Engine::MySql, &schema::database::ORDERS).await;
    let service = Service::new(env!("CARGO_BIN_EXE_order-svc"));
    let service = service.env("DATABASE_URL", database.url(USER)).env("NATS_URL", NO_NATS).start().await;
    let report = fuzz(&service, Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzzing_hooks.py"))).await;
    let requests: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&database.admin_pool().await).await.unwrap();
    assert!(requests > 0, "it placed none: {report}");
}
