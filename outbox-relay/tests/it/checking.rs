//! The preflight names what is weak, and a strict relay refuses to run on it.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, Source, StorageType};
use serde_json::{Value, json};
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
        let found = world.ask(&["stream", "check", "--strict"]);
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
            "SET GLOBAL sql_mode = ''",
            "ALTER TABLE outbox DROP INDEX claim",
            "REVOKE DELETE ON outbox FROM 'outbox_relay'@'%'",
            // As before its last migration.
            "ALTER TABLE relay_lease DROP COLUMN outage",
        ] {
            sqlx::query(weaken).execute(&world.pool).await.unwrap();
        }
        let checked = world.verb(&["stream", "check", "--json"]);
        assert_eq!(checked.code, Some(4), "{checked:?}");
        let found = checked.shown();
        let mut errors = settings(&found, "error");
        errors.sort();
        let expected = [
            "claim", "dedup_window", "discard", "grants", "grants", "innodb_flush_log_at_trx_commit", "storage", "subjects", "sync_binlog",
        ];
        assert_eq!(errors, expected, "{found}");
        let mut warnings = settings(&found, "warning");
        warnings.sort();
        assert_eq!(warnings, ["allow_atomic", "deny_delete", "deny_purge", "max_age", "sql_mode"], "{found}");
        for finding in found["findings"].as_array().unwrap() {
            for part in ["what", "why", "fix"] {
                assert!(!finding[part].as_str().unwrap().is_empty(), "{finding}");
            }
        }
        assert_eq!(world.verb(&["stream", "check", "--strict"]).code, Some(4));
        let said = world.verb(&["stream", "check"]).said;
        assert!(said.contains("fix:  nats stream edit ORDERS --discard new"), "{said}");
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

/// Streams that differ from ours in one setting each, as somebody else might make or edit them, and what is found.
fn edited() -> Vec<(&'static str, Value)> {
    vec![
        ("no_ack", json!({ "no_ack": true })),
        ("sealed", json!({ "sealed": true })),
        ("mirror", json!({ "mirror": { "name": "OTHER" }, "subjects": null, "allow_atomic": false })),
        ("sources", json!({ "sources": [{ "name": "OTHER" }] })),
        ("allow_msg_ttl", json!({ "allow_msg_ttl": true })),
        ("subject_transform", json!({ "subject_transform": { "src": "order.>", "dest": "order.x.>" } })),
        ("persist_mode", json!({ "persist_mode": "async", "allow_atomic": false })),
        ("max_consumers", json!({ "max_consumers": 1 })),
        ("max_msgs_per_subject", json!({ "max_msgs_per_subject": 5 })),
        ("max_msgs", json!({ "max_msgs": 5 })),
        ("max_bytes", json!({ "max_bytes": 5_000_000 })),
        ("max_msg_size", json!({ "max_msg_size": 100 })),
        ("republish", json!({ "republish": { "src": ">", "dest": "audit.>" } })),
        ("compression", json!({ "compression": "s2" })),
        ("allow_direct", json!({ "allow_direct": true })),
        ("allow_rollup_hdrs", json!({ "allow_rollup_hdrs": true, "deny_purge": false })),
        ("consumer_limits", json!({ "consumer_limits": { "max_ack_pending": 10 } })),
        ("placement", json!({ "placement": { "tags": [], "cluster": "" }, "discard": "old" })),
    ]
}

#[tokio::test]
async fn check_finds_every_setting_in_which_a_stream_is_not_as_the_relay_makes_it() {
    let world = World::new(Engine::MySql).await;
    let nats = async_nats::connect(world.nats.url()).await.unwrap();
    let api = async |verb: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = nats.request(format!("$JS.API.STREAM.{verb}"), body.into()).await.unwrap();
        serde_json::from_slice::<Value>(&answer.payload).unwrap()
    };
    let relay = world.relay().start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    drop(relay);
    let ours = api("INFO.ORDERS", &Value::Null).await["config"].clone();
    api(
        "CREATE.OTHER",
        &json!({ "name": "OTHER", "subjects": ["other"], "retention": "limits", "storage": "file", "num_replicas": 1 }),
    )
    .await;
    for (setting, change) in edited() {
        api("DELETE.ORDERS", &Value::Null).await;
        let mut config = ours.clone();
        config.as_object_mut().unwrap().remove("metadata");
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let sealed = config.as_object_mut().unwrap().insert("sealed".to_owned(), false.into());
        let made = api("CREATE.ORDERS", &config).await;
        assert!(made["error"].is_null(), "{setting}: {made}");
        if sealed == Some(true.into()) {
            config["sealed"] = true.into();
            api("UPDATE.ORDERS", &config).await;
        }
        let checked = world.verb(&["stream", "check", "--strict", "--json"]);
        assert_eq!(checked.code, Some(4), "{setting}: {checked:?}");
        let found = checked.shown();
        let named = [settings(&found, "error"), settings(&found, "warning")].concat();
        let expected = if setting == "placement" { "discard" } else { setting };
        assert!(named.iter().any(|named| named == expected), "{setting}: {found}");
    }
}

#[tokio::test]
async fn a_mirror_has_every_event_and_check_says_that_a_republished_copy_has_not() {
    let world = World::new(Engine::MySql).await;
    let jetstream = world.jetstream().await;
    let relay = world.relay().start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    let ours = jetstream.get_stream(schema::names::STREAM).await.unwrap().cached_info().config.clone();
    let onward = Republish { source: ">".to_owned(), destination: "audit.>".to_owned(), headers_only: false };
    jetstream.update_stream(Config { republish: Some(onward), ..ours }).await.unwrap();
    let of = |name: &str| Config { name: name.to_owned(), ..Config::default() };
    let source = Source { name: schema::names::STREAM.to_owned(), ..Source::default() };
    let copies = [
        Config { mirror: Some(source.clone()), ..of("MIRROR") },
        Config { sources: Some(vec![source]), ..of("SOURCED") },
        Config { subjects: vec!["audit.>".to_owned()], ..of("AUDIT") },
    ];
    for copy in copies {
        jetstream.create_stream(copy).await.unwrap();
    }
    let orders: Vec<Uuid> = (0..50).map(|_| Uuid::now_v7()).collect();
    futures::future::join_all(orders.iter().map(|order| world.append(*order, 1))).await;
    world.until_all_published().await;
    let stored = async |name: &str| jetstream.get_stream(name).await.unwrap().info().await.unwrap().state.messages;
    eventually("both copies are whole", async || (stored("MIRROR").await, stored("SOURCED").await) == (51, 51)).await;
    assert!(stored("AUDIT").await < 50, "what is republished is taken: the docs and the finding say otherwise");
    let checked = world.ask(&["stream", "check"]);
    assert_eq!(settings(&checked, "warning"), ["republish"], "{checked}");
    assert!(checked["findings"][0]["why"].as_str().unwrap().contains("mirror"), "{checked}");
    drop(relay);
}

#[tokio::test]
async fn a_relay_that_runs_finds_what_somebody_edits_and_that_it_is_gone() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().env("WATCH_INTERVAL", "100ms").start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    let jetstream = world.jetstream().await;
    let warnings = "relay_preflight_findings{severity=\"warning\"}";
    eventually("nothing is found", async || metric(&relay, warnings).await == 0.0).await;
    let ours = jetstream.get_stream(schema::names::STREAM).await.unwrap().cached_info().config.clone();
    jetstream.update_stream(Config { max_bytes: 1 << 20, ..ours.clone() }).await.unwrap();
    eventually("the edit is found", async || metric(&relay, warnings).await == 1.0).await;
    assert!(relay.log().contains("max_bytes"), "{}", relay.log());
    jetstream.update_stream(ours).await.unwrap();
    eventually("it is gone", async || metric(&relay, warnings).await == 0.0).await;
    assert!(relay.log().contains("no longer so"), "{}", relay.log());
}

#[tokio::test]
async fn check_finds_a_consumer_that_is_paused_limited_or_filtered_and_makes_none() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().start().await;
    world.append(Uuid::now_v7(), 1).await;
    world.until_all_published().await;
    drop(relay);
    let mut stream = world.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
    let limited = pull::Config {
        durable_name: Some(schema::names::NOTIFY_DURABLE.to_owned()),
        max_deliver: 3,
        filter_subject: "order.created".to_owned(),
        headers_only: true,
        ..pull::Config::default()
    };
    stream.create_consumer(limited).await.unwrap();
    let other = pull::Config { durable_name: Some("other".to_owned()), max_deliver: 3, ..pull::Config::default() };
    stream.create_consumer(other).await.unwrap();
    let pause = json!({ "pause_until": "2999-01-01T00:00:00Z" }).to_string();
    let nats = async_nats::connect(world.nats.url()).await.unwrap();
    nats.request("$JS.API.CONSUMER.PAUSE.ORDERS.other", pause.into()).await.unwrap();
    let checked = world.verb(&["stream", "check", "--strict", "--json"]);
    assert_eq!(checked.code, Some(4), "{checked:?}");
    let mut warnings = settings(&checked.shown(), "warning");
    warnings.sort();
    let expected = ["consumer_filter_subject", "consumer_headers_only", "consumer_max_deliver", "consumer_paused"];
    assert_eq!(warnings, expected, "{checked:?}");
    assert_eq!(stream.info().await.unwrap().state.consumer_count, 2);
}

both_engines! {
    async fn check_names_the_cause_of_what_a_server_refuses(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        let world = World { pool: database.admin_pool().await, database, nats: Nats::start().await };
        sqlx::query("SET GLOBAL binlog_format = STATEMENT").execute(&world.pool).await.unwrap();
        let checked = world.verb(&["stream", "check", "--json"]);
        assert_eq!(checked.code, Some(4), "{checked:?}");
        let errors = settings(&checked.shown(), "error");
        assert!(errors.contains(&"binlog_format".to_owned()), "{checked:?}");
        assert!(!errors.contains(&"grants".to_owned()), "the rights are as they should be: {checked:?}");
    }
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
        let found = world.ask(&["stream", "check", "--stream-max-age", planned]);
        assert_eq!(settings(&found, "warning"), ["max_age"], "{found}");
        assert!(found["findings"][0]["why"].as_str().unwrap().contains(why), "{planned}: {found}");
    }
    assert!(settings(&world.ask(&["stream", "check", "--stream-max-age", "10d"]), "warning").is_empty());
}

#[tokio::test]
async fn a_broker_that_is_away_keeps_no_relay_from_starting() {
    let mut world = World::new(Engine::MySql).await;
    world.nats.stop().await;
    let strict = world.relay().env("STRICT", "true").start().await;
    let checked = world.verb(&["stream", "check", "--json"]);
    assert_eq!(checked.code, Some(1), "what was not asked is not known to be well: {checked:?}");
    let found = checked.shown();
    assert_eq!((settings(&found, "note"), &found["is_complete"]), (vec!["broker".to_owned()], &false.into()));
    assert_eq!(world.verb(&["stream", "check", "--strict"]).code, Some(1));
    world.append(Uuid::now_v7(), 1).await;
    world.nats.restart().await;
    world.until_all_published().await;
    assert_eq!(metric(&strict, "relay_preflight_findings{severity=\"error\"}").await, 0.0);
}
