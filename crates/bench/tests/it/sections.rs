//! The sections.

use std::fs;

use serde_json::Value;

use crate::bench::{Found, run};

#[test]
fn the_write_path_is_measured() {
    let found = Found::of(&["write", "--rounds", "1", "--round-ms", "200"]);
    found.assert_names(&["write_32", "write_32_group", "write_64", "write_64_group", "write_1"]);
}

#[test]
fn orders_at_a_steady_rate_are_measured() {
    let found = Found::of(&["open", "--rounds", "1", "--round-ms", "200", "--clients", "32"]);
    let names = ["open_25_p50", "open_25_p99", "open_50_p50", "open_50_p99", "open_75_p50", "open_75_p99"];
    found.assert_names(&names);
}

#[test]
fn the_drain_of_an_outbox_is_measured() {
    let found = Found::of(&["relay", "--rounds", "1", "--events", "10000", "--only", "relay_durable"]);
    found.assert_names(&["relay_durable"]);
}

#[test]
fn the_consumer_is_measured() {
    let found = Found::of(&["inbox", "--rounds", "1", "--events", "5000"]);
    found.assert_names(&["inbox", "inbox_1000"]);
}

#[test]
fn the_way_of_an_order_is_measured() {
    let found = Found::of(&["latency", "--orders", "100"]);
    found.assert_names(&["commit_to_effect_p50", "commit_to_effect_p99", "commit_to_effect_max"]);
}

#[test]
fn the_way_back_after_a_kill_and_an_outage_is_measured_on_mysql() {
    measure_recovery("mysql");
}

#[test]
fn the_way_back_after_a_kill_and_an_outage_is_measured_on_mariadb() {
    measure_recovery("mariadb");
}

fn measure_recovery(db: &str) {
    let found = Found::of(&["recover", "--db", db, "--rounds", "1", "--scale", "5000"]);
    found.assert_names(&["recover_failover", "recover_backlog"]);
}

#[test]
fn everything_together_is_measured_on_mysql() {
    measure_everything("mysql");
}

#[test]
fn everything_together_is_measured_on_mariadb() {
    measure_everything("mariadb");
}

fn measure_everything(db: &str) {
    let found = Found::of(&["e2e", "--db", db, "--seconds", "5", "--window", "50", "--bare-ms", "200"]);
    found.assert_names(&[
        "e2e",
        "e2e_late",
        "e2e_memory_outbox_relay",
        "e2e_memory_payment_relay",
        "e2e_memory_notify_svc",
        "e2e_memory_payment_svc",
        "e2e_memory_order_svc",
        "e2e_backlog_events",
        "e2e_backlog_emails",
        "e2e_backlog_payments",
    ]);
}

#[test]
fn a_section_that_can_not_be_measured_fails_the_run_and_is_in_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["peers", "--db", "mariadb"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("report.json")).unwrap()).unwrap();
    let error = report["runs"][0]["error"].as_str().unwrap();
    assert!(error.contains("Debezium engine for MySQL"), "{report}");
    let page = fs::read_to_string(folder.path().join("report.md")).unwrap();
    assert!(page.contains(&format!("**Not measured:** {error}")), "{page}");
}
