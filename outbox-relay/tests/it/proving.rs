//! What is said of the proof.

use chrono::{DateTime, Utc};
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::support::{World, metric};

const AGE: &str = "stream_proven_age_seconds";

impl World {
    async fn proven_at(&self) -> Option<DateTime<Utc>> {
        sqlx::query_scalar("SELECT proven_at FROM relay_stream").fetch_one(&self.pool).await.unwrap()
    }
}

both_engines! {
    async fn the_age_of_a_proof_that_never_came_grows_from_the_first_look_on(engine: Engine) {
        let world = World::new(engine).await;
        let mut relay = world.watchful().env("PROOF_HORIZON", "10m").start().await;
        world.published(3).await;
        eventually("its age is told", async || metric(&relay, AGE).await > 0.0).await;
        let (age, first_look) = (metric(&relay, AGE).await, world.proven_at().await);
        relay.kill().await;
        relay.restart().await;
        eventually("it goes on after a takeover", async || metric(&relay, AGE).await > age).await;
        assert_eq!((world.proven_at().await, world.proven_seq().await), (first_look, 0));
        let said = world.verb(&["status"]).said;
        assert!(said.contains("which is nothing, since"), "{said}");
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
}
