//! A purge goes by the proof that holds when it deletes.

use std::process::Stdio;

use async_nats::jetstream::stream::Config;
use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

impl World {
    /// Published events that are proven and a day old, and no relay.
    async fn proven_and_old(&self, events: usize) {
        self.open_stream(Config::default()).await;
        let mut relay = self.watchful().env("PROOF_HORIZON", "0s").start().await;
        self.published(events).await;
        eventually("all of it is proven", async || self.proven_seq().await == events as u64).await;
        assert!(relay.terminate().await.success());
        let age = "UPDATE outbox SET published_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY";
        sqlx::query(age).execute(&self.pool).await.unwrap();
    }

    /// MySQL refuses to list what sessions do while some statement of another test has binary text.
    async fn waits_for_a_row(&self) -> bool {
        let waiting = "SELECT EXISTS (SELECT 1 FROM information_schema.processlist
                                      WHERE db = DATABASE() AND info LIKE 'SELECT seq%FOR UPDATE')";
        sqlx::query_scalar::<_, bool>(waiting).fetch_one(&self.pool).await.unwrap_or(false)
    }
}

both_engines! {
    async fn a_purge_that_waits_for_a_row_goes_by_the_proof_of_after_the_wait(engine: Engine) {
        let world = World::new(engine).await;
        world.proven_and_old(50).await;
        let mut holder = world.pool.begin().await.unwrap();
        let hold = "SELECT seq FROM outbox ORDER BY seq LIMIT 1 OFFSET 20 FOR UPDATE";
        sqlx::query(hold).fetch_all(&mut *holder).await.unwrap();
        let mut purge = world.command(&["event", "purge", "--older-than", "1h"]).stdout(Stdio::null()).spawn().unwrap();
        eventually("it waits", async || world.waits_for_a_row().await).await;
        let take_back = "UPDATE relay_stream SET proven_seq = 0";
        sqlx::query(take_back).execute(&world.pool).await.unwrap();
        holder.rollback().await.unwrap();
        eventually("it is done", async || purge.try_wait().unwrap().is_some()).await;
        assert_eq!(world.count("published").await, 50);
    }

    async fn what_no_relay_published_is_never_purged_and_a_person_can_requeue_it(engine: Engine) {
        let world = World::new(engine).await;
        world.proven_and_old(3).await;
        let mut forged = Vec::new();
        for published_at in ["2020-01-01", "1970-01-01"] {
            let event = Uuid::now_v7();
            sqlx::query(
                "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload,
                                     state, published_at)
                 VALUES (?, 'order', ?, 1, 'order.created', 'order.created', '{}', 'published', ?)",
            )
            .bind(event).bind(Uuid::now_v7().to_string()).bind(published_at)
            .execute(&world.pool)
            .await
            .unwrap();
            forged.push(event);
        }
        assert_eq!(world.ask(&["event", "purge", "--older-than", "1h", "--dry-run"])["events"], 3);
        assert_eq!(world.ask(&["event", "purge", "--older-than", "1h"])["events"], 3);
        assert_eq!(world.count("published").await, 2);
        let checked = world.verb(&["stream", "check"]);
        assert_eq!(checked.code, Some(4), "{checked:?}");
        assert!(checked.said.contains("2 events or more are marked as published, and no relay published them"), "{checked:?}");

        let names = forged.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(world.ask(&["event", "requeue", &names[0], &names[1]])["requeued"], 2);
        let relay = world.watchful().start().await;
        world.until_all_published().await;
        let stored = world.messages().await;
        assert!(names.iter().all(|name| stored.iter().any(|message| message.msg_id == *name)), "{names:?}");
        drop(relay);
        let checked = world.verb(&["stream", "check"]);
        assert!(!checked.said.contains("no relay published them"), "{checked:?}");
    }

    async fn what_discarded_events_were_is_purged_once_it_is_old_and_the_tombstone_is_gone(engine: Engine) {
        let world = World::new(engine).await;
        // The tombstone of the last one is still in the outbox.
        sqlx::query(
            "INSERT INTO outbox_discarded (discarded_by, reason, seq, event_id, aggregate_type, aggregate_id, event_type, subject,
                                           payload, occurred_at, discarded_at)
             WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 900)
             SELECT 'eve', 'old', n, IF(n < 900, UNHEX(LPAD(HEX(n), 32, '0')), ?), 'order', 'o', 'order.created', 'order.created',
                    '{}', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL IF(n > 10, 100, 80) DAY
             FROM numbers",
        )
        .bind(world.append("o", 1).await)
        .execute(&world.pool)
        .await
        .unwrap();
        let count = async || {
            let count = "SELECT COUNT(*) FROM outbox_discarded";
            sqlx::query_scalar::<_, i64>(count).fetch_one(&world.pool).await.unwrap()
        };
        let mut kept = world.relay().env("DISCARDED_RETENTION", "0s").start().await;
        world.until_all_published().await;
        assert!(kept.terminate().await.success());
        assert_eq!(count().await, 900);
        let _relay = world.relay().start().await;
        eventually("what is old is purged", async || count().await == 11).await;
    }

    async fn nothing_is_purged_while_a_loss_is_looked_into(engine: Engine) {
        let world = World::new(engine).await;
        world.proven_and_old(5).await;
        for doubt in ["suspicion = 'deleted'", "suspicion = NULL, history_seq = 3"] {
            let update = format!("UPDATE relay_stream SET {doubt}");
            sqlx::query(sqlx::AssertSqlSafe(update)).execute(&world.pool).await.unwrap();
            assert_eq!(world.ask(&["event", "purge", "--older-than", "1h"])["events"], 0);
        }
        sqlx::query("UPDATE relay_stream SET history_seq = NULL").execute(&world.pool).await.unwrap();
        assert_eq!(world.ask(&["event", "purge", "--older-than", "1h"])["events"], 5);
    }
}
