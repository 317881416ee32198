//! A replay publishes all that it was asked for, or says how it goes on.

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

/// Published events of one order each, with an occurred_at so many seconds from now and a text of so many bytes.
async fn published(world: &World, count: u32, seconds: i64, bytes: u32) {
    let insert =
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload,
                                      occurred_at, state, published_at)
                  WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
                  SELECT UNHEX(REPLACE(UUID(), '-', '')), 'order', UUID(), 1, 'order.created',
                         'order.created', JSON_OBJECT('text', REPEAT('x', ?)), UTC_TIMESTAMP(6) + INTERVAL ? SECOND,
                         'published', UTC_TIMESTAMP(6)
                  FROM n AS a JOIN n AS b
                  WHERE a.i * 200 + b.i < ?";
    let inserted = sqlx::query(insert).bind(bytes).bind(seconds).bind(count).execute(&world.pool).await;
    assert_eq!(inserted.unwrap().rows_affected(), u64::from(count));
}

async fn stream(world: &World, messages_max: i64) {
    let config = Config {
        name: schema::names::STREAM.to_owned(),
        subjects: vec!["order.>".to_owned()],
        max_messages: messages_max,
        discard: DiscardPolicy::New,
        ..Config::default()
    };
    world.jetstream().await.create_or_update_stream(config).await.unwrap();
}

async fn stored(world: &World) -> u64 {
    let mut stream = world.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
    stream.info().await.unwrap().state.messages
}

const YEAR: i64 = 365 * 86_400;
const NINE_HOURS: i64 = 9 * 3_600;

both_engines! {
    async fn a_range_of_time_is_found_among_rows_of_any_time(engine: Engine) {
        let world = World::new(engine).await;
        stream(&world, -1).await;
        for (count, seconds) in [(1_000, -60), (4_000, -YEAR), (500, -60), (500, NINE_HOURS), (3, -7_300), (2, -7_100)] {
            published(&world, count, seconds, 10).await;
        }
        assert_eq!(world.ask(&["event", "replay", "--since", "2h", "--dry-run"])["events"], 2_002);
        assert_eq!(world.ask(&["event", "replay", "--since", "2h"])["events"], 2_002);
        assert_eq!(stored(&world).await, 2_002);
        assert_eq!(world.ask(&["event", "replay", "--since", "3h", "--until", "2h", "--dry-run"])["events"], 3);
        assert_eq!(world.ask(&["event", "replay", "--since", "500d", "--until", "1d", "--dry-run"])["events"], 4_000);

        let listed = |arguments: &[&str]| {
            world.ask(&[&["event", "list", "--limit", "10000"], arguments].concat()).as_array().unwrap().len()
        };
        assert_eq!(listed(&["--since", "2h"]), 2_002);
        assert_eq!(listed(&["--since", "3h", "--until", "2h"]), 3);
        assert_eq!(listed(&["--state", "published", "--since", "500d", "--until", "1d"]), 4_000);
    }

    async fn a_list_of_few_events_finds_the_oldest_of_many(engine: Engine) {
        let world = World::new(engine).await;
        let rare = world.append(Uuid::now_v7(), 1).await;
        sqlx::query("UPDATE outbox SET event_type = 'order.rare', state = 'published'").execute(&world.pool).await.unwrap();
        published(&world, 25_000, -60, 10).await;
        for state in [&[][..], &["--state", "published"]] {
            let found = world.ask(&[&["event", "list", "--type", "order.rare"], state].concat());
            assert_eq!(found[0]["event_id"], rare.to_string(), "{found}");
            assert_eq!(world.ask(&[&["event", "list", "--limit", "25001"], state].concat()).as_array().unwrap().len(), 25_001);
        }
    }

    async fn events_larger_than_a_sort_buffer_are_replayed(engine: Engine) {
        let world = World::new(engine).await;
        stream(&world, -1).await;
        published(&world, 12, -60, 500_000).await;
        let first: String = sqlx::query_scalar("SELECT event_id FROM outbox_text LIMIT 1").fetch_one(&world.pool).await.unwrap();
        assert_eq!(world.ask(&["event", "replay", &first])["events"], 1);
        assert_eq!(world.ask(&["event", "replay", "--since", "1h"])["events"], 12);
        assert_eq!(stored(&world).await, 13);
    }

    async fn a_replay_that_broke_off_says_how_it_goes_on_and_does(engine: Engine) {
        let world = World::new(engine).await;
        published(&world, 450, -60, 10).await;
        published(&world, 50, -YEAR, 10).await;
        stream(&world, 250).await;
        let broken = world.verb(&["event", "replay", "--since", "1h"]);
        assert_eq!(broken.code, Some(1), "{broken:?}");
        let (_, again) = broken.complained.split_once("go on with: ").unwrap_or_else(|| panic!("{broken:?}"));
        let (again, reason) = again.split_once(": ").map(|(head, _)| head).zip(Some(&broken.complained)).unwrap();
        assert!(reason.contains("broke off after 200 events"), "{broken:?}");
        stream(&world, -1).await;
        let again: Vec<&str> = again.split(' ').collect();
        assert!(["--since", "--run", "--after"].iter().all(|word| again.contains(word)), "{again:?}");
        assert_eq!(world.ask(&again)["events"], 250, "{again:?}");
        assert_eq!(stored(&world).await, 450);
    }
}

#[tokio::test]
async fn a_replay_that_no_server_answers_names_its_run() {
    let mut world = World::new(Engine::MySql).await;
    published(&world, 3, -60, 10).await;
    world.nats.stop().await;
    let broken = world.verb(&["event", "replay", "--since", "1h"]);
    assert_eq!(broken.code, Some(1));
    assert!(broken.complained.contains("broke off after 0 events; go on with: event replay --since "), "{broken:?}");
}
