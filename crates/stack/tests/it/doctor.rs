//! `stack doctor` sees what is broken, and says that nothing is when nothing is.

use std::process::Command;

use serde_json::Value;
use stack::testing::{Database, Nats, Port, binary, eventually};
use stack::{Engine, both_engines};

use crate::pipeline::Pipeline;

/// What it says of a pipeline, and its exit status.
#[derive(Debug)]
struct Visit {
    status: Option<i32>,
    findings: Vec<Value>,
}

impl Visit {
    async fn pay(pipeline: &Pipeline, change: (&str, &str)) -> Self {
        let services = &pipeline.services;
        let admins = [
            ("order-svc", services.order_svc.admin_url("")),
            ("outbox-relay", services.relay.admin_url("")),
            ("notify-svc", services.notify_svc.admin_url("")),
        ];
        let admins = admins.map(|(program, url)| format!("{program}={url}")).join(",");
        let mut doctor = Command::new(binary("stack"));
        doctor
            .args(["doctor", "--json"])
            .env_clear()
            .env("ORDERS_DATABASE_URL", pipeline.orders.url("orders_inspector"))
            .env("NOTIFICATIONS_DATABASE_URL", pipeline.notifications.url("notifications_inspector"))
            .env("NATS_URL", pipeline.nats.url())
            .env("OPERATOR_PASSWORD", Nats::PASSWORD)
            .env("ADMIN_URLS", admins)
            .env(change.0, change.1);
        let output = tokio::task::spawn_blocking(move || doctor.output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let findings = serde_json::from_str(&said).unwrap_or_else(|error| {
            panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr));
        });
        Self { status: output.status.code(), findings }
    }

    /// The checks that found something wrong, all of them with what to do.
    fn bad(&self) -> Vec<&str> {
        let bad = self.findings.iter().filter(|finding| finding["state"] == "unwell");
        bad.inspect(|finding| assert!(finding["advice"].is_string(), "{finding}"))
            .map(|finding| finding["check"].as_str().unwrap())
            .collect()
    }
}

const UNCHANGED: (&str, &str) = ("LANG", "C");

/// Waits until exactly these checks find something wrong.
async fn until_bad(pipeline: &Pipeline, change: (&str, &str), wanted: &[&str]) {
    eventually(&format!("the doctor says {wanted:?}"), async || {
        let visit = Visit::pay(pipeline, change).await;
        let expected = if wanted.is_empty() { 0 } else { 4 };
        visit.bad() == wanted && visit.status == Some(expected)
    })
    .await;
}

both_engines! {
    async fn each_thing_that_is_broken_has_its_line(engine: Engine) {
        let mut pipeline = Pipeline::start(engine).await;
        let order = pipeline.services.place().await;
        pipeline.services.until_notified(&order).await;
        until_bad(&pipeline, UNCHANGED, &[]).await;

        let nowhere = Port::reserve();
        let database = format!("mysql://u:p@127.0.0.1:{}/orders", nowhere.number());
        until_bad(&pipeline, ("ORDERS_DATABASE_URL", &database), &["database orders"]).await;
        let broker = format!("nats://127.0.0.1:{}", nowhere.number());
        until_bad(&pipeline, ("NATS_URL", &broker), &["broker"]).await;
        until_bad(&pipeline, ("OPERATOR_PASSWORD", "wrong"), &["broker"]).await;

        breaks_the_orders(&pipeline.orders, &pipeline).await;

        pipeline.services.notify_svc.kill().await;
        let gone = ["consumer notify-svc of ORDERS", "notify-svc", "metrics of notify-svc"];
        until_bad(&pipeline, UNCHANGED, &gone).await;
        pipeline.services.notify_svc.restart().await;
        until_bad(&pipeline, UNCHANGED, &[]).await;

        pipeline.services.relay.kill().await;
        until_bad(&pipeline, UNCHANGED, &["relay of orders", "outbox-relay", "metrics of outbox-relay"]).await;
    }
}

/// What a table can say: a schema that is not migrated, dead events, dead messages.
async fn breaks_the_orders(orders: &Database, pipeline: &Pipeline) {
    let admin = orders.admin_pool().await;
    let run = async |statement: &'static str| {
        sqlx::query(statement).execute(&admin).await.unwrap();
    };
    run("UPDATE _sqlx_migrations SET success = 0 WHERE version = 1001").await;
    until_bad(pipeline, UNCHANGED, &["schema of orders"]).await;
    run("UPDATE _sqlx_migrations SET success = 1 WHERE version = 1001").await;
    run("INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload, state)
         VALUES ('order', 'x', 'order.created', 'order.created', '{}', 'dead')")
    .await;
    until_bad(pipeline, UNCHANGED, &["events of orders"]).await;
    run("DELETE FROM outbox WHERE state = 'dead'").await;
    run("INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload, next_attempt_at, inserted_at)
         VALUES ('order', 'y', 'order.created', 'order.created', '{}', UTC_TIMESTAMP(6) + INTERVAL 30 MINUTE,
                 UTC_TIMESTAMP(6) - INTERVAL 1 HOUR)")
    .await;
    until_bad(pipeline, UNCHANGED, &["lag of orders"]).await;
    run("DELETE FROM outbox WHERE aggregate_id = 'y'").await;
    until_bad(pipeline, UNCHANGED, &[]).await;
}

#[test]
fn a_doctor_who_is_told_of_nothing_asks_where_to_look() {
    let output = Command::new(binary("stack")).arg("doctor").env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is nothing to check"));
}
