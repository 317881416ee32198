//! The preflight names what is weak, and a strict relay refuses to run on it.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use serde_json::Value;
use stack::testing::{Database, MySql, Nats, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, metric};

fn settings(found: &Value, severity: &str) -> Vec<String> {
    let findings = found["findings"].as_array().unwrap().iter();
    let of_severity = findings.filter(|finding| finding["severity"] == severity);
    of_severity.map(|finding| finding["setting"].as_str().unwrap().to_owned()).collect()
}

fn weak() -> Config {
    Config {
        name: schema::names::STREAM.to_owned(),
        subjects: vec!["order.created".to_owned(), "invoice.paid".to_owned()],
        discard: DiscardPolicy::Old,
        storage: StorageType::Memory,
        max_age: Duration::from_secs(3600),
        duplicate_window: Duration::from_secs(1),
        ..Config::default()
    }
}

both_engines! {
    async fn a_sound_stack_passes_the_check(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        let found = world.ask(&["check", "--strict"]);
        assert_eq!(settings(&found, "note"), ["replicas"], "{found}");
        assert_eq!(found["is_complete"], true);
    }

    async fn check_names_each_weak_setting(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        let world = World { pool: database.admin_pool().await, database, nats: Nats::start().await };
        world.jetstream().await.create_stream(weak()).await.unwrap();
        for weaken in [
            "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
            "SET GLOBAL sync_binlog = 0",
            "ALTER TABLE outbox DROP INDEX claim",
            "REVOKE DELETE ON outbox FROM 'outbox_relay'@'%'",
            // As before its last migration.
            "ALTER TABLE relay_lease DROP COLUMN outage",
        ] {
            sqlx::query(weaken).execute(&world.pool).await.unwrap();
        }
        let found = world.ask(&["check"]);
        let mut errors = settings(&found, "error");
        errors.sort();
        let expected = [
            "claim", "dedup_window", "discard", "grants", "grants", "innodb_flush_log_at_trx_commit", "storage", "subjects", "sync_binlog",
        ];
        assert_eq!(errors, expected, "{found}");
        let mut warnings = settings(&found, "warning");
        warnings.sort();
        assert_eq!(warnings, ["allow_atomic", "deny_delete", "deny_purge", "max_age"], "{found}");
        for finding in found["findings"].as_array().unwrap() {
            for part in ["what", "why", "mend"] {
                assert!(!finding[part].as_str().unwrap().is_empty(), "{finding}");
            }
        }
        assert_eq!(world.verb(&["check", "--strict"]).code, Some(1));
        let said = world.verb(&["check"]).said;
        assert!(said.contains("mend: nats stream edit ORDERS --discard new"), "{said}");
        assert!(said.contains("--subjects order.>,invoice.paid"), "what the stream took it must go on taking: {said}");
    }
}

#[tokio::test]
async fn a_strict_relay_refuses_to_run_on_a_weak_stream_and_another_says_so() {
    let world = World::new(Engine::MySql).await;
    world.jetstream().await.create_stream(weak()).await.unwrap();
    let event = world.append(Uuid::now_v7(), 1).await;
    let mut strict = world.relay().env("STRICT", "true");
    strict.spawn();
    assert_eq!(strict.exited().await.code(), Some(1));
    assert!(strict.log().contains("--strict"), "{}", strict.log());
    assert_eq!(world.row(event).await.state, "pending");

    let lax = world.relay().start().await;
    world.until_all_published().await;
    let errors = "relay_preflight_findings{severity=\"error\"}";
    eventually("findings are counted", async || metric(&lax, errors).await == 4.0).await;
}

#[tokio::test]
async fn the_stream_keeps_an_event_as_long_as_planned_and_check_names_a_difference() {
    let world = World::new(Engine::MySql).await;
    let _relay = world.relay().env("STREAM_MAX_AGE", "10d").start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    let stream = world.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
    assert_eq!(stream.cached_info().config.max_age, Duration::from_secs(10 * 86_400));
    for (planned, why) in [("30d", "a consumer that is away for longer"), ("9d", "grows"), ("0s", "is away for longer")]
    {
        let found = world.ask(&["check", "--stream-max-age", planned]);
        assert_eq!(settings(&found, "warning"), ["max_age"], "{found}");
        assert!(found["findings"][0]["why"].as_str().unwrap().contains(why), "{planned}: {found}");
    }
    assert!(settings(&world.ask(&["check", "--stream-max-age", "10d"]), "warning").is_empty());
}

#[tokio::test]
async fn a_broker_that_is_away_keeps_no_relay_from_starting() {
    let mut world = World::new(Engine::MySql).await;
    world.nats.stop().await;
    let strict = world.relay().env("STRICT", "true").start().await;
    let found = world.ask(&["check"]);
    assert_eq!((settings(&found, "note"), &found["is_complete"]), (vec!["broker".to_owned()], &false.into()));
    assert_eq!(world.verb(&["check", "--strict"]).code, Some(1));
    world.append(Uuid::now_v7(), 1).await;
    world.nats.restart().await;
    world.until_all_published().await;
    assert_eq!(metric(&strict, "relay_preflight_findings{severity=\"error\"}").await, 0.0);
}
