//! What an idle relay reads does not grow with what waits for its next attempt or is dead.

use std::time::{Duration, Instant};

use sqlx::MySqlPool;
use stack::testing::{Database, MySql, Nats, eventually, eventually_within};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

/// 100,000 events that wait for an hour, as many dead ones, and one that is held behind one of them.
async fn fill(pool: &MySqlPool) {
    let insert =
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload,
                                      state, next_attempt_at)
                  WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 447), n (i) AS
                    (SELECT a.i * 448 + b.i FROM a JOIN a AS b)
                  SELECT UNHEX(LPAD(HEX(i + 1), 32, '0')), 'order', i + 1, 1, 'order.created',
                         'order.created', '{}', IF(i % 2 = 0, 'pending', 'dead'),
                         IF(i % 2 = 0, UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, NULL)
                  FROM n WHERE i < 200000 ORDER BY i";
    assert_eq!(sqlx::query(insert).execute(pool).await.unwrap().rows_affected(), 200_000);
    let held =
        "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, state)
                VALUES ('order', '2', 2, 'order.created', 'order.created', '{}', 'held')";
    sqlx::query(held).execute(pool).await.unwrap();
}

/// Rows that the server has read so far, for all sessions.
async fn rows_read(pool: &MySqlPool) -> u64 {
    let status: Vec<(String, String)> =
        sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Handler_read%'").fetch_all(pool).await.unwrap();
    status.iter().map(|(_, rows)| rows.parse::<u64>().unwrap()).sum()
}

both_engines! {
    async fn an_idle_relay_reads_no_more_than_it_needs_whatever_waits_or_is_dead(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        let world = World { pool: database.admin_pool().await, database, nats: Nats::start().await };
        fill(&world.pool).await;
        let _relay = world.relay().env("POLL_INTERVAL", "500ms").start().await;
        let publish_one = async || {
            let event = world.append(Uuid::now_v7(), 1).await;
            eventually("it is published", async || world.row(event).await.state == "published").await;
        };
        publish_one().await;

        let (begin, read) = (Instant::now(), rows_read(&world.pool).await);
        eventually_within(Duration::from_secs(30), "some polls and sweeps have passed", async || {
            begin.elapsed() > Duration::from_secs(8)
        })
        .await;
        let each_second = (rows_read(&world.pool).await - read) as f64 / begin.elapsed().as_secs_f64();
        assert!(each_second < 40_000.0, "{each_second} rows a second");

        let read = rows_read(&world.pool).await;
        publish_one().await;
        let for_one = rows_read(&world.pool).await - read;
        assert!(for_one < 150_000, "{for_one} rows for one new event, gauges included");
        assert_eq!(world.count("held").await, 1);
    }

    async fn an_attempt_that_was_put_off_for_ever_is_due(engine: Engine) {
        let world = World::new(engine).await;
        let event = world.append(Uuid::now_v7(), 1).await;
        sqlx::query("UPDATE outbox SET next_attempt_at = '9999-01-01'").execute(&world.pool).await.unwrap();
        let _relay = world.relay().start().await;
        eventually("it is published", async || world.row(event).await.state == "published").await;
    }
}
