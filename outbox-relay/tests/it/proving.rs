//! What is said of the proof, and what comes before the first one.

use async_nats::jetstream::stream::Config;
use chrono::{DateTime, Utc};
use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, metric};

const AGE: &str = "stream_proven_age_seconds";

impl World {
    async fn proven_at(&self) -> Option<DateTime<Utc>> {
        sqlx::query_scalar("SELECT proven_at FROM relay_stream").fetch_one(&self.pool).await.unwrap()
    }

    pub async fn last_seq(&self) -> u64 {
        sqlx::query_scalar("SELECT last_seq FROM relay_stream").fetch_one(&self.pool).await.unwrap()
    }

    async fn history_seq(&self) -> Option<u64> {
        sqlx::query_scalar("SELECT history_seq FROM relay_stream").fetch_one(&self.pool).await.unwrap()
    }

    /// As if no relay had ever looked at the stream.
    async fn forget_the_stream(&self) {
        for statement in ["DELETE FROM relay_stream", "INSERT INTO relay_stream (name) VALUES ('outbox')"] {
            sqlx::query(statement).execute(&self.pool).await.unwrap();
        }
    }

    /// Events that are published and have no place in the stream.
    async fn append_published_elsewhere(&self, events: u32) {
        let insert =
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload, state, published_at)
             SELECT 'order', n, 'order.created', 'order.created', '{}', 'published', UTC_TIMESTAMP(6)
             FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', ? - 1), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS list";
        sqlx::query(insert).bind(events).execute(&self.pool).await.unwrap();
    }
}

both_engines! {
    async fn the_age_of_a_proof_that_never_came_grows_from_the_first_check_on(engine: Engine) {
        let world = World::new(engine).await;
        let mut relay = world.watchful().env("PROOF_HORIZON", "10m").start().await;
        world.published(3).await;
        eventually("its age is told", async || metric(&relay, AGE).await > 0.0).await;
        let (age, first_check) = (metric(&relay, AGE).await, world.proven_at().await);
        relay.kill().await;
        relay.restart().await;
        eventually("it goes on after a takeover", async || metric(&relay, AGE).await > age).await;
        assert_eq!((world.proven_at().await, world.proven_seq().await), (first_check, 0));
        let said = world.verb(&["status"]).said;
        assert!(said.contains("nothing, for"), "{said}");
    }

    async fn the_age_of_the_last_proof_grows_through_a_loss(engine: Engine) {
        let mut world = World::new(engine).await;
        let mut relay = world.watchful().env("PROOF_HORIZON", "0s").start().await;
        world.published(3).await;
        eventually("all of it is proven", async || world.proven_seq().await == 3).await;
        relay.kill().await;
        let last = world.proven_at().await;
        let mut relay = relay.env("PROOF_HORIZON", "10m");
        world.rewind(None).await;
        relay.restart().await;
        world.until_healed(3).await;
        assert_eq!((world.proven_at().await, world.proven_seq().await), (last, 0));
        eventually("its age is told", async || metric(&relay, AGE).await > 0.0).await;
    }

    async fn what_was_lost_before_the_first_check_is_found_while_publishing_goes_on(engine: Engine) {
        let world = World::new(engine).await;
        let stream = world.open_stream(Config::default()).await;
        let mut relay = world.watchful().env("PROOF_HORIZON", "0s").start().await;
        let events = world.published(30).await;
        assert!(relay.terminate().await.success());
        for lost in [2, 7] {
            stream.delete_message(lost).await.unwrap();
        }
        world.forget_the_stream().await;
        world.append_published_elsewhere(25_000).await;
        let next = world.append(Uuid::now_v7(), 1).await;

        relay.restart().await;
        world.until_healed(2).await;
        world.is_whole(&[events[1], events[6]]).await;
        assert_eq!(metric(&relay, "relay_losses_total{sign=\"history\"}").await, 1.0);
        let went_on = "SELECT published_at < lost_at FROM outbox, relay_stream WHERE event_id = ?";
        assert!(sqlx::query_scalar::<_, bool>(went_on).bind(next).fetch_one(&world.pool).await.unwrap());
        eventually("all of it is proven", async || world.proven_seq().await == 33).await;
        assert_eq!(world.history_seq().await, None);
    }

    async fn a_history_that_a_relay_had_compared_in_part_is_compared_further(engine: Engine) {
        let world = World::new(engine).await;
        let stream = world.open_stream(Config::default()).await;
        let mut relay = world.watchful().start().await;
        let events = world.published(10).await;
        eventually("it has seen all", async || world.last_seq().await == 10).await;
        assert!(relay.terminate().await.success());
        for lost in [3, 8] {
            stream.delete_message(lost).await.unwrap();
        }
        let left = "UPDATE relay_stream SET deleted = 2, history_seq = 5";
        sqlx::query(left).execute(&world.pool).await.unwrap();

        relay.restart().await;
        world.until_healed(1).await;
        assert_eq!(world.row(events[2]).await.stream_seq, Some(11));
        assert_eq!(world.row(events[7]).await.stream_seq, Some(8), "it had been compared before");
        assert_eq!(world.history_seq().await, None);
    }
}
