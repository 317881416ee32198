//! The doors for people: settings and `status`.

use std::process::{Command, Output};

use stack::Engine;
use stack::testing::eventually;
use uuid::Uuid;

use crate::support::World;

fn relay(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-relay"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap()
}

const SOUND: [(&str, &str); 3] = [
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
    }
}

#[test]
fn a_verb_with_a_url_that_can_not_work_exits_64_and_says_so() {
    for verb in [&["status"][..], &["list"], &["pause"], &["purge", "--older-than", "1d"], &["replay", "--since", "1h"]]
    {
        let output = relay(verb, &[("DATABASE_URL", "nonsense"), ("NATS_URL", "nats://127.0.0.1:1")]);
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
async fn status_tells_the_backlog_and_exits_1_when_no_relay_is_active() {
    let world = World::new(Engine::MySql).await;
    world.append(Uuid::now_v7(), 1).await;
    let url = world.database.url("outbox_relay");
    let status = || {
        let output = relay(&["status", "--json"], &[("DATABASE_URL", &url)]);
        (output.status.code(), serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap())
    };
    let (code, shown) = status();
    assert_eq!(code, Some(1));
    assert_eq!(shown["outbox"][0]["state"], "pending");
    assert_eq!(shown["outbox"][0]["events"], 1);

    let _relay = world.relay().start().await;
    world.until_all_published().await;
    eventually("status says active", async || status().0 == Some(0)).await;
    assert_eq!(status().1["outbox"][0]["events"], 0);
}
