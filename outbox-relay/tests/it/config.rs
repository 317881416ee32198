//! The doors for people: settings and `status`.

use std::process::{Command, Output};

use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

fn relay(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-relay"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap()
}

const SOUND: [(&str, &str); 7] = [
    ("STREAM", "SHOP"),
    ("STREAM_SUBJECTS", "shop.>"),
    ("EVENT_SOURCE", "/shop"),
    ("WAKE_SUBJECT", "shop.wake"),
    ("DATABASE_URL", "mysql://outbox_relay:hunter2@127.0.0.1:1/orders"),
    ("NATS_URL", "nats://127.0.0.1:1"),
    ("ADMIN_ADDR", "127.0.0.1:0"),
];

#[test]
fn settings_that_can_not_work_exit_64_and_say_which() {
    let cases = [
        (("DEDUP_WINDOW", "1s"), "DEDUP_WINDOW"),
        (("LEASE_TIME", "10ms"), "LEASE_TIME"),
        (("STREAM_MAX_AGE", "7d"), "STREAM_MAX_AGE"),
        (("POLL_INTERVAL", "0s"), "POLL_INTERVAL"),
        (("BATCH_SIZE_MAX", "0"), "BATCH_SIZE_MAX"),
        (("BATCH_SIZE_MAX", "1000000"), "BATCH_SIZE_MAX"),
        (("SHUTDOWN_GRACE", "1s"), "SHUTDOWN_GRACE"),
        (("STREAM_SUBJECTS", "order..x"), "empty token"),
        (("STREAM_REPLICAS", "7"), "stream-replicas"),
        (("ADMIN_ADDR", "nowhere"), "ADMIN_ADDR"),
        (("LEASE_TIME", "soon"), "LEASE_TIME"),
        (("WATCH_INTERVAL", "10ms"), "WATCH_INTERVAL"),
        (("PROOF_HORIZON", "8d"), "PROOF_HORIZON"),
        (("DATABASE_URL", "postgres://outbox_relay:hunter2@127.0.0.1:1/orders"), "DATABASE_URL"),
        (("NATS_URL", "http://outbox-relay:hunter2@127.0.0.1:1"), "NATS_URL"),
        (("LOG_FILTER", "=="), "LOG_FILTER"),
        (("EVENT_SOURCE", "/shop\nce-id: x"), "EVENT_SOURCE"),
        (("EVENT_SOURCE", " "), "EVENT_SOURCE"),
        (("STREAM", "ORDERS.x"), "STREAM"),
        (("STREAM", "OR\rDERS"), "STREAM"),
        (("WAKE_SUBJECT", "outbox. wake"), "WAKE_SUBJECT"),
    ];
    for ((name, value), expected) in cases {
        let mut environment = SOUND.to_vec();
        environment.push((name, value));
        let output = relay(&["run"], &environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}={value}: {said}");
        let named = said.to_lowercase().replace('-', "_").contains(&expected.to_lowercase().replace('-', "_"));
        assert!(named, "{name}={value}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(said.lines().count(), 1, "{name}: {said}");
    }
}

#[test]
fn what_a_relay_publishes_where_is_a_setting_without_a_default() {
    for needed in ["STREAM", "STREAM_SUBJECTS", "EVENT_SOURCE", "WAKE_SUBJECT"] {
        let environment: Vec<_> = SOUND.into_iter().filter(|(name, _)| *name != needed).collect();
        let output = relay(&["run"], &environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{needed}: {said}");
        assert!(said.contains(&format!("<{needed}>")), "{needed}: {said}");
    }
    let help = String::from_utf8(relay(&["run", "--help"], &[]).stdout).unwrap();
    assert!(!help.contains("default: ORDERS") && !help.contains("default: /web-store"), "{help}");
}

both_engines! {
    async fn status_exits_4_for_dead_events_and_for_a_loss_that_is_not_proven_to_be_over(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().env("PROOF_HORIZON", "100ms").env("WATCH_INTERVAL", "100ms").start().await;
        let order = Uuid::now_v7();
        let dead = world.append(order, 0).await;
        eventually("it is dead", async || world.row(dead).await.state == "dead").await;
        let unhealthy = world.verb(&["status", "--json"]);
        assert_eq!((unhealthy.code, &unhealthy.shown()["problems"][0]), (Some(4), &"1 events are dead".into()));
        world.ask(&["event", "discard", &dead.to_string(), "--no-tombstone", "--reason", "a test"]);
        world.append(order, 1).await;
        world.until_all_published().await;
        eventually("all is well", async || world.verb(&["status"]).code == Some(0)).await;

        let lose = "UPDATE relay_stream SET lost_at = UTC_TIMESTAMP(6) + INTERVAL 10 SECOND, lost_sign = 'last_seq'";
        sqlx::query(lose).execute(&world.pool).await.unwrap();
        let unhealthy = world.verb(&["status"]);
        assert_eq!(unhealthy.code, Some(4), "{unhealthy:?}");
        assert!(unhealthy.said.contains("problem   the broker lost events"), "{unhealthy:?}");
    }

    async fn what_a_table_holds_neither_steers_a_terminal_nor_breaks_a_line(engine: Engine) {
        let world = World::new(engine).await;
        let evil = "\u{1b}[2J\u{9b}31mx\nrelay     active\u{202e}";
        let spoil = "UPDATE relay_lease SET holder = ?, outage = ?, outage_since = UTC_TIMESTAMP(6), expires_at = '2999-01-01'";
        sqlx::query(spoil).bind(evil).bind(evil).execute(&world.pool).await.unwrap();
        let spoil = "UPDATE relay_stream SET stream = ?, created_at = UTC_TIMESTAMP(6), suspicion = LEFT(?, 20), lost_sign = LEFT(?, 20), lost_at = UTC_TIMESTAMP(6)";
        sqlx::query(spoil).bind(evil).bind(evil).bind(evil).execute(&world.pool).await.unwrap();
        let pause = "INSERT INTO outbox_pause (pattern, reason, paused_by) VALUES ('order.x', ?, ?)";
        sqlx::query(pause).bind(evil).bind(evil).execute(&world.pool).await.unwrap();
        let event = world.append(Uuid::now_v7(), 1).await.to_string();
        sqlx::query("UPDATE outbox SET event_type = ?, subject = ?, last_error = ?, state = 'dead'")
            .bind(evil).bind(evil).bind(evil).execute(&world.pool).await.unwrap();
        for verb in [&["status"][..], &["subject", "list"], &["event", "list"], &["event", "show", &event], &["event", "requeue", &event], &["stream", "check"]] {
            for form in [&[][..], &["--json"]] {
                let answer = world.verb(&[verb, form].concat());
                let said = format!("{}{}", answer.said, answer.complained);
                let is_evil = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                assert!(!said.contains(is_evil), "{verb:?}: {said:?}");
                assert!(!said.lines().any(|line| line.starts_with("relay     active\\u")), "{verb:?}: {said:?}");
                assert!(!said.is_empty(), "{verb:?}: {answer:?}");
            }
        }
    }
}

#[test]
fn a_verb_with_a_url_that_can_not_work_exits_64_and_says_so() {
    for verb in [
        &["status"][..],
        &["event", "list"],
        &["subject", "list"],
        &["event", "purge", "--older-than", "1d"],
        &["event", "replay", "--since", "1h"],
    ] {
        let output =
            relay(verb, &[("DATABASE_URL", "nonsense"), ("NATS_URL", "nats://127.0.0.1:1"), ("EVENT_SOURCE", "/shop")]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{verb:?}: {said}");
        assert!(said.starts_with("error: DATABASE_URL is malformed"), "{said}");
    }
}

#[test]
fn help_shows_no_secret() {
    let output = relay(&["run", "--help"], &SOUND);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(said.contains("DATABASE_URL") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn status_tells_the_backlog_and_exits_4_when_no_relay_is_active() {
    let world = World::new(Engine::MySql).await;
    world.append(Uuid::now_v7(), 1).await;
    let status = || {
        let answer = world.verb(&["status", "--json"]);
        (answer.code, answer.shown())
    };
    let (code, shown) = status();
    assert_eq!(code, Some(4));
    assert_eq!(shown["problems"], serde_json::json!(["no relay is active"]));
    assert_eq!(shown["outbox"][0]["state"], "pending");
    assert_eq!(shown["outbox"][0]["events"], 1);

    let _relay = world.relay().start().await;
    world.until_all_published().await;
    eventually("status says active", async || status().0 == Some(0)).await;
    assert_eq!(status().1["outbox"][0]["events"], 0);
}
