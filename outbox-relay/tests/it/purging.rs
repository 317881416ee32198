//! A purge goes by the proof that holds when it deletes.

use std::process::{Command, Stdio};

use async_nats::jetstream::stream::Config;
use stack::testing::eventually;
use stack::{Engine, both_engines};

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

    async fn waits_for_a_row(&self) -> bool {
        let waiting = "SELECT EXISTS (SELECT 1 FROM information_schema.processlist
                                      WHERE db = DATABASE() AND info LIKE 'SELECT seq%FOR UPDATE')";
        sqlx::query_scalar::<_, bool>(waiting).fetch_one(&self.pool).await.unwrap()
    }
}

both_engines! {
    async fn a_purge_that_waits_for_a_row_goes_by_the_proof_of_after_the_wait(engine: Engine) {
        let world = World::new(engine).await;
        world.proven_and_old(50).await;
        let mut holder = world.pool.begin().await.unwrap();
        let hold = "SELECT seq FROM outbox ORDER BY seq LIMIT 1 OFFSET 20 FOR UPDATE";
        sqlx::query(hold).fetch_all(&mut *holder).await.unwrap();
        let mut purge = Command::new(env!("CARGO_BIN_EXE_outbox-relay"))
            .args(["event", "purge", "--older-than", "1h"])
            .env("DATABASE_URL", world.database.url("outbox_relay"))
            .env("USER", "ada")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("it waits", async || world.waits_for_a_row().await).await;
        let take_back = "UPDATE relay_stream SET proven_seq = 0";
        sqlx::query(take_back).execute(&world.pool).await.unwrap();
        holder.rollback().await.unwrap();
        eventually("it is done", async || purge.try_wait().unwrap().is_some()).await;
        assert_eq!(world.count("published").await, 50);
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
