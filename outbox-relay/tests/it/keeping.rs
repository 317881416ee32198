//! Published events are kept for a while, then purged; until then they can be replayed.

use std::process::{Command, Stdio};

use stack::service::Program;
use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, metric};

/// Published events of which every second was published ten days ago: (old, young). As after their stream is gone: without a
/// place in a stream, and with a heal epoch.
async fn published(world: &World, pairs: u32) -> (Vec<Uuid>, Vec<Uuid>) {
    let (mut old, mut young) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        for (ids, days) in [(&mut old, 10), (&mut young, 0)] {
            let event = world.append(Uuid::now_v7(), 1).await;
            let age = "UPDATE outbox SET state = 'published', heal_epoch = 1, published_at = UTC_TIMESTAMP(6) - INTERVAL ? DAY
                       WHERE event_id = ?";
            sqlx::query(age).bind(days).bind(event).execute(&world.pool).await.unwrap();
            ids.push(event);
        }
    }
    (old, young)
}

/// As many events published so many days ago.
async fn many_published(world: &World, events: u32, days: u32) {
    sqlx::query(
        "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, state, heal_epoch, published_at)
         SELECT 'order', UUID(), 1, 'order.created', 'order.created', '{}', 'published', 1,
                UTC_TIMESTAMP(6) - INTERVAL ? DAY
         FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', ? - 1), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS list",
    )
    .bind(days)
    .bind(events)
    .execute(&world.pool)
    .await
    .unwrap();
}

const PURGED: &str = "relay_purged_events_total";

both_engines! {
    async fn purge_deletes_only_old_published_rows(engine: Engine) {
        let world = World::new(engine).await;
        published(&world, 5).await;
        let pending = world.append(Uuid::now_v7(), 1).await;
        for (id, state) in [(world.append(Uuid::now_v7(), 1).await, "dead"), (pending, "held")] {
            let age = "UPDATE outbox SET state = ?, published_at = '2020-01-01' WHERE event_id = ?";
            sqlx::query(age).bind(state).bind(id).execute(&world.pool).await.unwrap();
        }
        let dry = world.ask(&["event", "purge", "--older-than", "7d", "--dry-run"]);
        assert_eq!((&dry["events"], world.count("published").await), (&5.into(), 10));
        assert_eq!(world.ask(&["event", "purge", "--older-than", "7d"])["events"], 5);
        assert_eq!(world.count("published").await, 5);
        assert_eq!((world.count("dead").await, world.count("held").await), (1, 1));
        assert_eq!(world.ask(&["event", "purge", "--older-than", "7d"])["events"], 0);
        let scope: String = sqlx::query_scalar("SELECT scope FROM outbox_action").fetch_one(&world.pool).await.unwrap();
        assert_eq!(scope, "published more than 7days ago");
    }

    async fn the_active_relay_purges_after_the_retention_while_it_publishes(engine: Engine) {
        let world = World::new(engine).await;
        let (old, young) = published(&world, 20).await;
        let relay = world.relay().env("RETENTION", "7d").start().await;
        for _ in 0..20 {
            world.append(Uuid::now_v7(), 1).await;
        }
        eventually("old events are purged", async || metric(&relay, "relay_purged_events_total").await == 20.0).await;
        world.until_all_published().await;
        assert_eq!(world.count("published").await, 40);
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE event_id IN (?, ?)")
            .bind(old[0]).bind(young[0]).fetch_one(&world.pool).await.unwrap();
        assert_eq!(left, 1);
    }

    async fn a_purge_goes_in_batches_of_a_thousand_and_one_that_is_blocked_stops_no_event(engine: Engine) {
        let world = World::new(engine).await;
        many_published(&world, 3_500, 10).await;
        many_published(&world, 500, 0).await;
        // Somebody holds a row of the third batch.
        let mut blocking = world.pool.begin().await.unwrap();
        let hold = "SELECT seq FROM outbox WHERE seq = 2500 FOR UPDATE";
        sqlx::query(hold).fetch_one(&mut *blocking).await.unwrap();

        let active = world.relay().env("RETENTION", "7d").start().await;
        eventually("it has the lease", async || world.lease_epoch().await == 1).await;
        let standby = world.relay().env("RETENTION", "7d").start().await;
        eventually("two batches are gone", async || metric(&active, PURGED).await == 2_000.0).await;
        let event = world.append(Uuid::now_v7(), 1).await;
        eventually("events flow", async || world.row(event).await.state == "published").await;
        assert_eq!((metric(&active, PURGED).await, world.count("published").await), (2_000.0, 2_001));

        blocking.rollback().await.unwrap();
        eventually("all that is old is gone", async || metric(&active, PURGED).await == 3_500.0).await;
        assert_eq!(world.count("published").await, 501);
        assert_eq!(metric(&standby, PURGED).await, 0.0);
    }

    async fn events_that_stay_in_front_keep_no_older_one_from_being_purged(engine: Engine) {
        let world = World::new(engine).await;
        many_published(&world, 2_500, 0).await;
        many_published(&world, 20, 10).await;
        many_published(&world, 1_500, 0).await;
        many_published(&world, 30, 10).await;
        assert_eq!(world.ask(&["event", "purge", "--older-than", "7d", "--dry-run"])["events"], 50);
        let relay = world.relay().env("RETENTION", "7d").start().await;
        eventually("all that is old is gone", async || metric(&relay, PURGED).await == 50.0).await;
        assert_eq!(world.count("published").await, 4_000);
        drop(relay);
        many_published(&world, 10, 10).await;
        assert_eq!(world.ask(&["event", "purge", "--older-than", "7d"])["events"], 10);
    }

    async fn a_long_verb_shows_its_progress_to_people_and_not_to_programs(engine: Engine) {
        let world = World::new(engine).await;
        many_published(&world, 3_000, 10).await;
        let purge = ["event", "purge", "--older-than", "7d"];
        // script(1) runs a command at a terminal of its own and says what appears there.
        let line = format!("{} {} --dry-run", env!("CARGO_BIN_EXE_outbox-relay"), purge.join(" "));
        let seen = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("DATABASE_URL", world.database.url(Program::OutboxRelay.operator()))
            .env("USER", "ada")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let screen = String::from_utf8(seen.stdout).unwrap();
        assert!(seen.status.success(), "{screen}");
        assert!(screen.contains("purging [#") && screen.contains("] 100 %"), "{screen:?}");
        assert!(screen.ends_with("3000 published events would be deleted\r\n"), "{screen:?}");

        let piped = world.verb(&purge);
        assert_eq!((&*piped.said, &*piped.complained), ("3000 published events deleted\n", ""));
    }

    async fn replay_publishes_again_under_the_same_event_id(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        let order = Uuid::now_v7();
        let mut events = Vec::new();
        for version in 1..=3 {
            events.push(world.append(order, version).await);
        }
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;

        let dry = world.ask(&["event", "replay", "--aggregate", &format!("order/{order}"), "--dry-run"]);
        assert_eq!((&dry["events"], world.messages().await.len()), (&3.into(), 4));
        let answer = world.ask(&["event", "replay", "--aggregate", &format!("order/{order}")]);
        let run = answer["run"].as_str().unwrap();
        let again = &world.messages().await[4..];
        assert_eq!(again.len(), 3);
        for (message, event) in again.iter().zip(&events) {
            assert_eq!(message.headers.get("ce-id").unwrap().as_str(), event.to_string());
            assert_eq!(message.msg_id, format!("{event}.r{run}"));
        }
        // The same run again, as after it broke off, stores nothing twice.
        world.ask(&["event", "replay", "--aggregate", &format!("order/{order}"), "--run", run]);
        assert_eq!(world.messages().await.len(), 7);

        assert_eq!(world.ask(&["event", "replay", &events[1].to_string()])["events"], 1);
        assert_eq!(world.ask(&["event", "replay", "--since", "1h"])["events"], 4);
        assert_eq!(world.ask(&["event", "replay", "--since", "2h", "--until", "1h"])["events"], 0);
        assert_eq!(world.messages().await.len(), 12);
        assert_eq!(world.count("published").await, 4);
        let unpublished = world.verb(&["event", "replay", &Uuid::now_v7().to_string()]);
        assert_eq!(unpublished.code, Some(2), "{unpublished:?}");
    }
}

#[tokio::test]
async fn a_replay_to_another_subject_reaches_its_stream_or_fails_and_its_record_says_which() {
    let world = World::new(Engine::MySql).await;
    let _relay = world.relay().start().await;
    let event = world.append(Uuid::now_v7(), 1).await.to_string();
    world.until_all_published().await;
    let refused = world.verb(&["event", "replay", &event, "--subject", "elsewhere.x"]);
    assert_eq!((refused.code, refused.complained.contains("--run")), (Some(1), true), "{refused:?}");
    let config = async_nats::jetstream::stream::Config {
        name: "ELSEWHERE".to_owned(),
        subjects: vec!["elsewhere.>".to_owned()],
        ..Default::default()
    };
    let mut stream = world.jetstream().await.create_stream(config).await.unwrap();
    world.ask(&["event", "replay", &event, "--subject", "elsewhere.x"]);
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
    assert_eq!(world.messages().await.len(), 1);
    let records = "SELECT events, LEFT(scope, 7) FROM outbox_action WHERE action = 'replay' ORDER BY id";
    let records: Vec<(u64, String)> = sqlx::query_as(records).fetch_all(&world.pool).await.unwrap();
    let begun = (0, "begins ".to_owned());
    assert!(records.len() == 3 && records[..2] == [begun.clone(), begun], "{records:?}");
    assert!(records[2].0 == 1 && records[2].1.starts_with("run "), "{records:?}");
}
