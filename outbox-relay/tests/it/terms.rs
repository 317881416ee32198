//! What the broker takes changes under the relay: an event waits for it, alone, and nothing is dead for a setting.

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use stack::testing::{eventually, eventually_within};
use stack::{Engine, both_engines};
use std::time::Duration;
use uuid::Uuid;

use crate::support::{World, metric};

/// Changes the stream as an operator would.
pub async fn edit(world: &World, change: impl FnOnce(&mut Config)) {
    let context = world.jetstream().await;
    let mut config = context.get_stream(schema::names::STREAM).await.unwrap().cached_info().config.clone();
    change(&mut config);
    context.update_stream(config).await.unwrap();
}

/// As `World::append`, for another subject.
async fn append_to(world: &World, aggregate: Uuid, version: u32, subject: &str) -> Uuid {
    let event_id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
         VALUES (?, 'order', ?, ?, 'order.created', ?, '{}')",
    )
    .bind(event_id)
    .bind(aggregate.to_string())
    .bind(version)
    .bind(subject)
    .execute(&world.pool)
    .await
    .unwrap();
    event_id
}

async fn until(world: &World, event: Uuid, state: &str) {
    eventually(state, async || world.row(event).await.state == state).await;
}

/// Waits until the relay knows up to where the stream held messages.
async fn until_remembered(world: &World, sequence: u64) {
    let last_seq = "SELECT last_seq FROM relay_stream";
    let remembered = async || sqlx::query_scalar::<_, u64>(last_seq).fetch_one(&world.pool).await.unwrap() == sequence;
    eventually("the stream is remembered", remembered).await;
}

both_engines! {
    async fn an_event_whose_subject_the_stream_does_not_take_waits_alone_and_goes_on_by_itself(engine: Engine) {
        let world = World::new(engine).await;
        let relay = world.relay().env("WATCH_INTERVAL", "200ms").start().await;
        let order = Uuid::now_v7();
        let placed = world.append(order, 1).await;
        until(&world, placed, "published").await;

        edit(&world, |config| config.subjects = vec!["order.created".to_owned()]).await;
        let cancelled = append_to(&world, order, 2, "order.cancelled").await;
        let later = world.append(order, 3).await;
        let others: Vec<Uuid> = futures::future::join_all((0..30).map(|_| world.append(Uuid::now_v7(), 1))).await;
        for other in others {
            until(&world, other, "published").await;
        }
        until(&world, cancelled, "held").await;
        until(&world, later, "held").await;
        let row = world.row(cancelled).await;
        assert_eq!(row.attempts, 0);
        assert!(row.last_error.unwrap().contains("\"order.cancelled\""));
        assert!(metric(&relay, "relay_failures_total{class=\"subject\"}").await >= 1.0);

        edit(&world, |config| config.subjects = vec!["order.>".to_owned()]).await;
        until(&world, later, "published").await;
        assert!(world.row(cancelled).await.stream_seq < world.row(later).await.stream_seq);
    }

    async fn a_lost_event_that_the_stream_takes_no_more_waits_and_the_others_are_healed(engine: Engine) {
        let world = World::new(engine).await;
        let stream = world.open_stream(Config { discard: DiscardPolicy::New, ..Config::default() }).await;
        let _relay = world.watchful().start().await;
        let (order, other) = (Uuid::now_v7(), Uuid::now_v7());
        let cancelled = append_to(&world, order, 1, "order.cancelled").await;
        let later = world.append(order, 2).await;
        let healed = world.append(other, 1).await;
        world.until_all_published().await;
        until_remembered(&world, 3).await;

        edit(&world, |config| config.subjects = vec!["order.created".to_owned()]).await;
        stream.purge().await.unwrap();
        until(&world, cancelled, "held").await;
        until(&world, later, "held").await;
        until(&world, healed, "published").await;
        assert_eq!(world.count("dead").await, 0);
        assert_eq!((world.versions(order).await, world.versions(other).await), (Vec::new(), vec!["1".to_owned()]));

        edit(&world, |config| config.subjects = vec!["order.>".to_owned()]).await;
        until(&world, later, "published").await;
        assert_eq!(world.versions(order).await, ["1", "2"]);
        assert_eq!(world.healed().await, 3);
    }

    async fn however_many_wait_for_another_reason_those_that_wait_for_a_limit_are_counted(engine: Engine) {
        let world = World::new(engine).await;
        sqlx::query(
            "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, next_attempt_at)
             SELECT 'order', n, 1, 'order.created', 'order.created', '{}',
                    UTC_TIMESTAMP(6) + INTERVAL 50 MINUTE
             FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', 149), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS list",
        )
        .execute(&world.pool)
        .await
        .unwrap();
        let relay = world.relay().env("WATCH_INTERVAL", "200ms").start().await;
        let first = world.append(Uuid::now_v7(), 1).await;
        until(&world, first, "published").await;
        edit(&world, |config| config.max_message_size = 100).await;
        for _ in 0..2 {
            let large = world.append(Uuid::now_v7(), 1).await;
            until(&world, large, "held").await;
        }
        assert!(!relay.log().contains("the limit is taken to be wrong"));
        world.append(Uuid::now_v7(), 1).await;
        eventually("the limit is doubted", async || relay.log().contains("the limit is taken to be wrong")).await;
    }

    async fn a_setting_that_the_stream_does_not_have_kills_nothing(engine: Engine) {
        let world = World::new(engine).await;
        let mut relay = world.relay().start().await;
        let first = world.append(Uuid::now_v7(), 1).await;
        until(&world, first, "published").await;
        relay.terminate().await;
        // A typing error; the stream is there, and what it takes counts.
        let _relay = world.relay().env("STREAM_SUBJECTS", "oder.>").start().await;
        for _ in 0..5 {
            world.append(Uuid::now_v7(), 1).await;
        }
        world.until_all_published().await;
        assert_eq!((world.count("dead").await, world.count("held").await), (0, 0));
    }

    async fn a_message_limit_that_is_wrong_for_a_while_kills_nothing(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().env("WATCH_INTERVAL", "200ms").start().await;
        let first = world.append(Uuid::now_v7(), 1).await;
        until(&world, first, "published").await;
        edit(&world, |config| config.max_message_size = 100).await;
        for _ in 0..20 {
            world.append(Uuid::now_v7(), 1).await;
        }
        eventually("all wait", async || world.count("held").await == 20).await;
        assert_eq!(world.count("dead").await, 0);
        edit(&world, |config| config.max_message_size = -1).await;
        eventually("all are published", async || world.count("published").await == 21).await;
    }

    async fn a_row_whose_fault_is_megabytes_long_is_dead_with_a_short_reason(engine: Engine) {
        let world = World::new(engine).await;
        let relay = world.relay().start().await;
        // Under what a statement may take; MariaDB's default is a quarter of MySQL's.
        let most = if engine == Engine::MariaDb { 3_000_000 } else { 12_000_000 };
        let sizes = [most, 30_000];
        let mut faulty = Vec::new();
        for chars in sizes {
            let event = Uuid::now_v7();
            sqlx::query(
                "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload, headers)
                 VALUES (?, 'order', ?, 'order.created', 'order.created', '{}',
                         CONCAT('{\"a\":\"', REPEAT(CONVERT(UNHEX('C280') USING utf8mb4), ?), '\"}'))",
            )
            .bind(event).bind(Uuid::now_v7().to_string()).bind(chars)
            .execute(&world.pool)
            .await
            .unwrap();
            faulty.push(event);
        }
        let sound = world.append(Uuid::now_v7(), 1).await;
        until(&world, sound, "published").await;
        for event in faulty {
            until(&world, event, "dead").await;
            let reason = world.row(event).await.last_error.unwrap();
            assert!(reason.len() < 1000 && reason.contains('a') && !reason.contains('\u{80}'), "{reason}");
        }
        assert!(relay.log().len() < 100_000);
    }

    async fn a_requeue_of_an_event_that_still_breaks_the_contract_is_refused_with_the_reason(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        let faulty = append_to(&world, Uuid::now_v7(), 1, "order.*").await;
        let fixed = append_to(&world, Uuid::now_v7(), 1, "order created").await;
        until(&world, faulty, "dead").await;
        until(&world, fixed, "dead").await;
        let refused = world.verb(&["event", "requeue", &faulty.to_string()]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.complained.contains("wildcard") && refused.complained.contains("nothing was changed"), "{refused:?}");
        let fix = "UPDATE outbox SET subject = 'order.created' WHERE event_id = ?";
        sqlx::query(fix).bind(fixed).execute(&world.pool).await.unwrap();
        let some = world.ask(&["event", "requeue", "--dead"]);
        assert_eq!((&some["requeued"], &some["refused"][0]["event"]), (&1.into(), &faulty.to_string().into()));
        until(&world, fixed, "published").await;
        assert_eq!(world.row(faulty).await.state, "dead");
    }

    async fn what_no_relay_wrote_is_neither_purged_nor_passed_over_in_silence(engine: Engine) {
        let world = World::new(engine).await;
        let mut relay = world.relay().start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        let forged = world.append(Uuid::now_v7(), 1).await;
        let forge = "UPDATE outbox SET state = 'published', stream_seq = 0, published_at = '1970-01-01' WHERE event_id = ?";
        sqlx::query(forge).bind(forged).execute(&world.pool).await.unwrap();
        let prove = "UPDATE relay_stream SET proven_seq = 1000000, suspicion = NULL, history_seq = NULL";
        relay.terminate().await;
        sqlx::query(prove).execute(&world.pool).await.unwrap();
        world.ask(&["event", "purge", "--older-than", "0s"]);
        assert_eq!(world.row(forged).await.state, "published");
        let stuck = world.append(Uuid::now_v7(), 1).await;
        let stick = "UPDATE outbox SET next_attempt_at = '9999-01-01' WHERE event_id = ?";
        sqlx::query(stick).bind(stuck).execute(&world.pool).await.unwrap();
        let tombstone = world.append(Uuid::now_v7(), 1).await;
        let discard = "UPDATE outbox SET discarded_at = UTC_TIMESTAMP(6) WHERE event_id = ?";
        sqlx::query(discard).bind(tombstone).execute(&world.pool).await.unwrap();
        let checked = world.verb(&["stream", "check"]);
        for said in ["no relay published them", "longer than an hour", "nobody discarded"] {
            assert!(checked.said.contains(said), "{checked:?}");
        }
        relay.restart().await;
        until(&world, tombstone, "dead").await;
    }

    async fn an_aggregate_type_with_a_blank_stands_in_nobodys_way(engine: Engine) {
        let world = World::new(engine).await;
        let order = Uuid::now_v7();
        let blank = append_to(&world, order, 2, "order.created").await;
        let spoil = "UPDATE outbox SET aggregate_type = 'order ' WHERE event_id = ?";
        sqlx::query(spoil).bind(blank).execute(&world.pool).await.unwrap();
        let _relay = world.relay().start().await;
        until(&world, blank, "dead").await;
        let (first, second) = (world.append(order, 1).await, world.append(order, 2).await);
        until(&world, second, "published").await;
        until(&world, first, "published").await;
    }

    async fn ages_and_latencies_are_told_from_the_insertion(engine: Engine) {
        let world = World::new(engine).await;
        let relay = world.relay().start().await;
        for occurred_at in ["0001-01-01", "2019-01-01", "9000-01-01"] {
            let event = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload, occurred_at)
                         VALUES ('order', ?, 'order.created', 'order.created', '{}', ?)";
            sqlx::query(event).bind(Uuid::now_v7().to_string()).bind(occurred_at).execute(&world.pool).await.unwrap();
        }
        eventually("all are published", async || world.count("published").await == 3).await;
        eventually("they are counted", async || metric(&relay, "relay_event_duration_seconds_count").await == 3.0).await;
        let seconds = metric(&relay, "relay_event_duration_seconds_sum").await;
        assert!((0.0..60.0).contains(&seconds), "{seconds}");
        assert_eq!(metric(&relay, "relay_far_off_events_total").await, 3.0);
        drop(relay);

        // Nine hours ahead, in front of a backlog; and one before it that waits for another attempt.
        let waits = world.append(Uuid::now_v7(), 1).await;
        let put_off = "UPDATE outbox SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR,
                                         inserted_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY WHERE event_id = ?";
        sqlx::query(put_off).bind(waits).execute(&world.pool).await.unwrap();
        let ahead = world.append(Uuid::now_v7(), 1).await;
        let age = "UPDATE outbox SET occurred_at = UTC_TIMESTAMP(6) + INTERVAL 9 HOUR,
                                     inserted_at = UTC_TIMESTAMP(6) - INTERVAL 100 SECOND WHERE event_id = ?";
        sqlx::query(age).bind(ahead).execute(&world.pool).await.unwrap();
        let status = world.verb(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status.said).unwrap();
        let pending = status["outbox"].as_array().unwrap().iter().find(|state| state["state"] == "pending").unwrap();
        assert!((100.0..3600.0).contains(&pending["oldest_seconds"].as_f64().unwrap()), "{status}");
    }

    async fn a_replay_makes_the_same_bytes_as_the_publish(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        let event = Uuid::now_v7();
        let payload = "  {\"b\" : 1.50, \"a\": [1 , \"\\u00e9\"], \"big\": 12345678901234567890123, \"b\": 2}\n ";
        sqlx::query(
            "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload)
             VALUES (?, 'order', ?, 'order.created', 'order.created', ?)",
        )
        .bind(event).bind(Uuid::now_v7().to_string()).bind(payload)
        .execute(&world.pool)
        .await
        .unwrap();
        until(&world, event, "published").await;
        world.ask(&["event", "replay", &event.to_string()]);
        let stream = world.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
        let bodies = [stream.get_raw_message(1).await.unwrap().payload, stream.get_raw_message(2).await.unwrap().payload];
        assert_eq!(bodies[0], bodies[1]);
        // As docs/outbox-contract.md says of the engines.
        let published = String::from_utf8(bodies[0].to_vec()).unwrap();
        match engine {
            Engine::MariaDb => assert_eq!(published, payload.trim()),
            _ => assert_eq!(published, r#"{"a": [1, "é"], "b": 2, "big": 1.2345678901234568e22}"#),
        }
    }

    async fn a_binary_string_in_a_payload_arrives_as_the_contract_says(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        sqlx::query(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
             VALUES ('order', '1', 'order.created', 'order.created', JSON_OBJECT('id', UNHEX('414243')))",
        )
        .execute(&world.pool)
        .await
        .unwrap();
        world.until_all_published().await;
        let stream = world.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
        let body = String::from_utf8(stream.get_raw_message(1).await.unwrap().payload.to_vec()).unwrap();
        match engine {
            Engine::MariaDb => assert_eq!(body, r#"{"id": "ABC"}"#),
            _ => assert_eq!(body, r#"{"id": "base64:type15:QUJD"}"#),
        }
    }
}

/// A row that alone is above a limit is dead after all, but not before a mistyped limit could be undone.
#[tokio::test]
async fn a_single_event_above_a_limit_is_dead_after_a_while() {
    let world = World::new(Engine::MySql).await;
    let large = world.append(Uuid::now_v7(), 1).await;
    let enlarge = "UPDATE outbox SET payload = JSON_OBJECT('text', REPEAT('x', 2000000)) WHERE event_id = ?";
    sqlx::query(enlarge).bind(large).execute(&world.pool).await.unwrap();
    let _relay = world.relay().start().await;
    eventually_within(Duration::from_secs(40), "it is dead", async || world.row(large).await.state == "dead").await;
    let row = world.row(large).await;
    assert!(row.last_error.unwrap().contains("max payload"));
}
