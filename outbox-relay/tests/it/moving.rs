//! The settings lead to another stream than before: by mistake, or because somebody means it.

use std::mem;

use stack::testing::{Nats, Service, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

/// Starts a relay that does not fit; what it said before it exited as one with bad settings does.
async fn refused(mut relay: Service) -> String {
    relay.spawn();
    assert_eq!(relay.exited().await.code(), Some(64), "{}", relay.log());
    relay.log()
}

impl World {
    /// From now on the settings lead to this broker; the other one.
    fn point_to(&mut self, nats: Nats) -> Nats {
        mem::replace(&mut self.nats, nats)
    }

    async fn is_untouched(&self, events: &[Uuid]) {
        for (event, stream_seq) in events.iter().zip(1..) {
            let row = self.row(*event).await;
            assert_eq!((row.state.as_str(), row.stream_seq), ("published", Some(stream_seq)));
        }
    }
}

both_engines! {
    async fn another_stream_than_before_is_refused_until_a_person_has_it_forgotten(engine: Engine) {
        let mut world = World::new(engine).await;
        let mut relay = world.watchful().start().await;
        let events = world.published(5).await;
        eventually("it has looked", async || world.last_seq().await == 5).await;
        let early = world.verb(&["stream", "forget", "--reason", "moving"]);
        assert_eq!((early.code, early.complained.contains("a relay is active")), (Some(2), true), "{early:?}");
        assert!(relay.terminate().await.success());

        let old = world.point_to(Nats::start().await);
        let said = refused(world.watchful().env("STREAM", "SHOP")).await;
        assert!(said.contains("SHOP") && said.contains("ORDERS") && said.contains("stream forget"), "{said}");
        assert!(world.jetstream().await.get_stream("SHOP").await.is_err(), "it was made");
        world.is_untouched(&events).await;

        let forgotten = world.ask(&["stream", "forget", "--reason", "moving"]);
        assert_eq!(forgotten["stream"], "ORDERS");
        let moved = world.watchful().env("STREAM", "SHOP").start().await;
        world.until_healed(5).await;
        let mut stream = world.jetstream().await.get_stream("SHOP").await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 5);
        let recorded: (String, String, String) = sqlx::query_as("SELECT actor, action, reason FROM outbox_action")
            .fetch_one(&world.pool).await.unwrap();
        assert_eq!(recorded, ("ada".to_owned(), "forget-stream".to_owned(), "moving".to_owned()));
        drop((moved, old));
    }

    async fn another_brokers_stream_of_the_same_name_is_refused_and_gets_nothing(engine: Engine) {
        let mut world = World::new(engine).await;
        // Somebody else's, and older.
        let ours = world.point_to(Nats::start().await);
        world.open_stream(async_nats::jetstream::stream::Config::default()).await;
        let theirs = world.point_to(ours);
        let mut relay = world.watchful().start().await;
        let events = world.published(5).await;
        eventually("it has looked", async || world.last_seq().await == 5).await;
        assert!(relay.terminate().await.success());
        let age = "UPDATE relay_stream SET last_stored_at = last_stored_at + INTERVAL 1 DAY";
        sqlx::query(age).execute(&world.pool).await.unwrap();

        let ours = world.point_to(theirs);
        let pending = world.append(Uuid::now_v7(), 1).await;
        let said = refused(world.watchful()).await;
        assert!(said.contains("another broker's") && said.contains("stream forget"), "{said}");
        world.is_untouched(&events).await;
        assert_eq!(world.row(pending).await.state, "pending");
        assert_eq!(world.messages().await.len(), 0);

        world.point_to(ours);
        let _relay = world.watchful().start().await;
        world.until_all_published().await;
        assert_eq!((world.messages().await.len(), world.healed().await), (6, 0));
    }
}
