//! Any program may write the outbox, rubbish included: it goes dead with a reason and stops nothing else.

use stack::testing::{eventually, eventually_within};
use stack::{Engine, both_engines};
use std::time::Duration;
use uuid::Uuid;

use crate::support::{World, metric};

/// Event id, aggregate id, subject, payload, headers, and what the reason must say.
type Rubbish<'a> = (Uuid, Uuid, &'a str, &'a str, Option<&'a str>, &'a str);

both_engines! {
    async fn a_row_by_plain_sql_with_only_the_required_columns_is_published(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        sqlx::query(
            r#"INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
               VALUES ('invoice', UUID(), 'order.invoiced', 'order.invoiced', '{"total": 12}')"#,
        )
        .execute(&world.pool)
        .await
        .unwrap();
        world.until_all_published().await;
        assert_eq!(world.messages().await.len(), 1);
    }

    async fn an_aggregate_id_that_is_not_1_to_64_visible_ascii_characters_is_refused_at_once(engine: Engine) {
        let world = World::new(engine).await;
        for id in ["", " ", "4711 ", " 4711", "47 11", "47\n11", "4711\n", "47\0", "\u{7f}", "é", "€", &"x".repeat(65)] {
            let refused = sqlx::query(
                "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
                 VALUES ('order', ?, 'order.created', 'order.created', '{}')",
            )
            .bind(id)
            .execute(&world.pool)
            .await;
            assert!(matches!(refused, Err(sqlx::Error::Database(_))), "{id:?}: {refused:?}");
        }
        assert_eq!(world.count("pending").await, 0);
    }

    async fn a_writer_without_strict_mode_has_no_name_cut(engine: Engine) {
        let world = World::new(engine).await;
        let mut writer = world.pool.acquire().await.unwrap();
        sqlx::query("SET SESSION sql_mode = ''").execute(&mut *writer).await.unwrap();
        let mut insert = async |lengths: [usize; 4]| {
            let [aggregate_type, aggregate_id, event_type, subject] = lengths.map(|length| "x".repeat(length));
            sqlx::query(
                "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload) VALUES (?, ?, ?, ?, '{}')",
            )
            .bind(aggregate_type).bind(aggregate_id).bind(event_type).bind(subject)
            .execute(&mut *writer)
            .await
        };
        let longest = [64, 64, 100, 255];
        for column in 0..longest.len() {
            for more in [1, 2, 1_000] {
                let mut lengths = longest;
                lengths[column] += more;
                let refused = insert(lengths).await;
                assert!(matches!(refused, Err(sqlx::Error::Database(_))), "{lengths:?}: {refused:?}");
            }
        }
        insert(longest).await.unwrap();
        let lengths = "SELECT CHAR_LENGTH(aggregate_type) = 64 AND CHAR_LENGTH(aggregate_id) = 64
                          AND CHAR_LENGTH(event_type) = 100 AND CHAR_LENGTH(subject) = 255 FROM outbox";
        assert_eq!(sqlx::query_scalar::<_, i64>(lengths).fetch_all(&world.pool).await.unwrap(), [1]);
    }

    async fn rubbish_rows_go_dead_with_a_reason_and_stop_nothing_else(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        let nil = Uuid::nil();
        let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(2_000_000));
        let rubbish: Vec<Rubbish> = vec![
            (nil, Uuid::now_v7(), "order.created", "{}", None, "nil UUID"),
            (Uuid::now_v7(), Uuid::now_v7(), "order.*", "{}", None, "wildcard"),
            (Uuid::now_v7(), Uuid::now_v7(), "order created", "{}", None, "white space"),
            (Uuid::now_v7(), Uuid::now_v7(), "order.created\r\nPUB order.x 0", "{}", None, "control"),
            (Uuid::now_v7(), Uuid::now_v7(), "order.created", "[1, 2]", None, "JSON object"),
            (Uuid::now_v7(), Uuid::now_v7(), "order.created", &large, None, "max payload"),
            (Uuid::now_v7(), Uuid::now_v7(), "order.created", "{}", Some(r#"{"a": 1}"#), "object of strings"),
            (Uuid::now_v7(), Uuid::now_v7(), "order.created", "{}", Some(r#"{"a": "x\r\nb: y"}"#), "control"),
            (Uuid::now_v7(), Uuid::now_v7(), "order.created", "{}", Some(r#"{"Nats-Msg-Id": "x"}"#), "reserved"),
            (Uuid::now_v7(), Uuid::now_v7(), "order.created", "{}", Some(r#"{"ce-dataschema": "no uri"}"#), "URI reference"),
        ];
        for (event_id, aggregate_id, subject, payload, headers, _) in &rubbish {
            sqlx::query(
                "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload, headers)
                 VALUES (?, 'order', ?, 'order.created', ?, ?, ?)",
            )
            .bind(event_id).bind(aggregate_id.to_string()).bind(subject).bind(payload).bind(headers)
            .execute(&world.pool)
            .await
            .unwrap();
        }
        let sound = world.append(Uuid::now_v7(), 1).await;

        eventually("the sound event is published", async || world.row(sound).await.state == "published").await;
        world.until_all_published().await;
        for (event_id, .., reason) in &rubbish {
            // What is above a limit waits first: the limit may be wrong.
            let patience = Duration::from_secs(40);
            eventually_within(patience, "it is dead", async || world.row(*event_id).await.state == "dead").await;
            let row = world.row(*event_id).await;
            let error = row.last_error.unwrap();
            assert_eq!(row.state, "dead", "{error}");
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(world.messages().await.len(), 1);
    }

    async fn what_the_server_takes_and_is_neither_a_date_nor_json_goes_dead_and_can_be_looked_at(engine: Engine) {
        let world = World::new(engine).await;
        let relay = world.relay().start().await;
        let mut writer = world.pool.acquire().await.unwrap();
        // As old programs have it; MariaDB takes a zero date, and such JSON, unasked.
        sqlx::query("SET SESSION sql_mode = ''").execute(&mut *writer).await.unwrap();
        let json = if engine == Engine::MariaDb { r#"{"a":1.}"# } else { "{}" };
        let rubbish = [("0000-00-00", "{}"), ("2026-00-10", "{}"), ("0000-00-00", json)];
        let mut events = Vec::new();
        for (version, (occurred_at, payload)) in (1_u32..).zip(rubbish) {
            let event_id = Uuid::now_v7();
            sqlx::query(
                "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, occurred_at)
                 VALUES (?, 'order', ?, ?, 'order.created', 'order.created', ?, ?)",
            )
            .bind(event_id).bind(Uuid::now_v7().to_string()).bind(version).bind(payload).bind(occurred_at)
            .execute(&mut *writer)
            .await
            .unwrap();
            events.push(event_id);
        }
        let sound = world.append(Uuid::now_v7(), 1).await;
        eventually("the sound event is published", async || world.row(sound).await.state == "published").await;
        for event in &events {
            eventually("rubbish is dead", async || world.row(*event).await.state == "dead").await;
            assert!(world.row(*event).await.last_error.unwrap().contains("must be a JSON object") || world.row(*event).await.last_error.unwrap().contains("occurred_at"));
            world.ask(&["event", "show", &event.to_string()]);
        }
        assert_eq!(world.ask(&["event", "list", "--since", "1h"])[0]["state"], "published");
        assert_eq!(world.ask(&["event", "list", "--state", "dead"]).as_array().unwrap().len(), 3);
        world.ask(&["event", "discard", &events[0].to_string(), &events[2].to_string(), "--reason", "rubbish"]);
        eventually("the tombstones are published", async || world.count("published").await == 3).await;
        world.ask(&["event", "show", &events[2].to_string()]);
        drop(relay);
    }

    async fn the_largest_heal_epoch_is_followed_by_one_again(engine: Engine) {
        let mut world = World::new(engine).await;
        let relay = world.watchful().start().await;
        let mut events = Vec::new();
        for _ in 0..3 {
            let event = Uuid::now_v7();
            sqlx::query(
                "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload,
                                     heal_epoch)
                 VALUES (?, 'order', ?, 1, 'order.created', 'order.created', '{}', 4294967295)",
            )
            .bind(event).bind(Uuid::now_v7().to_string())
            .execute(&world.pool)
            .await
            .unwrap();
            events.push(event);
        }
        world.until_all_published().await;
        let last_seq = "SELECT last_seq FROM relay_stream";
        let remembered = async || sqlx::query_scalar::<_, u64>(last_seq).fetch_one(&world.pool).await.unwrap() == 3;
        eventually("the stream is remembered", remembered).await;
        world.rewind(None).await;
        world.until_healed(3).await;
        let stored = world.messages().await;
        for event in events {
            assert!(stored.iter().any(|message| message.msg_id == format!("{event}.h1")), "{event}");
        }
        drop(relay);
    }

    async fn events_behind_a_dead_one_are_held_and_other_orders_flow(engine: Engine) {
        let world = World::new(engine).await;
        let _relay = world.relay().start().await;
        let order = Uuid::now_v7();
        let dead = world.append(order, 0).await; // version 0 is malformed
        eventually("the event is dead", async || world.row(dead).await.state == "dead").await;

        let (held, flowing) = (world.append(order, 1).await, world.append(Uuid::now_v7(), 1).await);
        eventually("the other order flows", async || world.row(flowing).await.state == "published").await;
        eventually("the later event is held", async || world.row(held).await.state == "held").await;
    }
}

#[tokio::test]
async fn payloads_of_ten_megabytes_go_dead_and_cost_the_relay_no_memory() {
    let world = World::new(Engine::MySql).await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(10 << 20));
    let mut rubbish = Vec::new();
    for _ in 0..12 {
        let event = world.append(Uuid::now_v7(), 1).await;
        let enlarge = "UPDATE outbox SET payload = ? WHERE event_id = ?";
        sqlx::query(enlarge).bind(&large).bind(event).execute(&world.pool).await.unwrap();
        rubbish.push(event);
    }
    let sound = world.append(Uuid::now_v7(), 1).await;
    let relay = world.relay().start().await;
    eventually("the sound event is published", async || world.row(sound).await.state == "published").await;
    eventually("the others are dead", async || world.count("dead").await == 12).await;
    let bytes = metric(&relay, "process_resident_memory_bytes").await;
    assert!(bytes < 64e6, "{bytes} bytes resident");
    assert!(world.row(rubbish[0]).await.last_error.unwrap().contains("max payload"));
}
