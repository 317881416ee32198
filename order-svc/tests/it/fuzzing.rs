//! The document is an interface: what it says must be so.

use stack::home::Home;
use stack::testing::{Database, Engine, Service};
use tokio::process::Command;

use crate::api::{NO_NATS, USER};

#[tokio::test]
async fn a_schema_driven_fuzzer_finds_the_document_true() {
    let database = Database::create(Engine::MySql, &schema::database::ORDERS).await;
    let service = Service::new(env!("CARGO_BIN_EXE_order-svc"));
    let service = service.env("DATABASE_URL", database.url(USER)).env("NATS_URL", NO_NATS).start().await;
    let fuzzing = Command::new(Home::find().unwrap().program("schemathesis").unwrap())
        .args(["run", &service.url("/docs/openapi.json"), "--checks", "all"])
        // The same requests each time: a test that fails now and then proves nothing.
        .args([
            "--seed",
            "1",
            "--max-examples",
            "25",
            "--max-time",
            "60",
            "--generation-database",
            "none",
            "--no-color",
        ])
        .env("SCHEMATHESIS_HOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzzing_hooks.py"))
        .current_dir(std::env::temp_dir())
        .kill_on_drop(true)
        .output();
    let output = fuzzing.await.unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    let requests: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&database.admin_pool().await).await.unwrap();
    assert!(requests > 0, "it placed none: {report}");
}
