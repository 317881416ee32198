//! What a person does about dead events: requeue, discard.

use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

/// An order whose first event is dead because of its subject, with two more behind it.
async fn stopped_order(world: &World) -> (Uuid, [Uuid; 3]) {
    let order = Uuid::now_v7();
    let dead = world.append(order, 1).await;
    spoil(world, dead, "order.*").await;
    let events = [dead, world.append(order, 2).await, world.append(order, 3).await];
    (order, events)
}

async fn spoil(world: &World, event: Uuid, subject: &str) {
    let spoil = "UPDATE outbox SET subject = ? WHERE event_id = ?";
    sqlx::query(spoil).bind(subject).bind(event).execute(&world.pool).await.unwrap();
}

async fn until(world: &World, event: Uuid, state: &str) {
    eventually(state, async || world.row(event).await.state == state).await;
}

async fn versions(world: &World) -> Vec<String> {
    let messages = world.messages().await;
    messages.iter().map(|message| message.headers.get("ce-aggregateversion").unwrap().to_string()).collect()
}

async fn actions(world: &World) -> Vec<(String, String, u64)> {
    let actions = "SELECT action, actor, events FROM outbox_action ORDER BY id";
    sqlx::query_as(actions).fetch_all(&world.pool).await.unwrap()
}

both_engines! {
    async fn a_requeued_event_is_published_and_the_held_ones_behind_it_follow(engine: Engine) {
        let world = World::new(engine).await;
        let (_, events) = stopped_order(&world).await;
        let _relay = world.relay().start().await;
        until(&world, events[0], "dead").await;
        until(&world, events[2], "held").await;

        spoil(&world, events[0], "order.created").await;
        let answer = world.ask(&["event", "requeue", &events[0].to_string()]);
        assert_eq!((&answer["requeued"], &answer["released"]), (&1.into(), &2.into()));
        until(&world, events[2], "published").await;
        assert_eq!(versions(&world).await, ["1", "2", "3"]);
        assert_eq!(actions(&world).await, [("requeue".to_owned(), "ada".to_owned(), 1)]);
    }

    async fn dead_events_are_requeued_by_type_and_reason_and_others_stay(engine: Engine) {
        let world = World::new(engine).await;
        let (_, wildcard) = stopped_order(&world).await;
        let (_, foreign) = stopped_order(&world).await;
        spoil(&world, foreign[0], "order..created").await;
        let _relay = world.relay().start().await;
        until(&world, wildcard[2], "held").await;
        until(&world, foreign[2], "held").await;

        spoil(&world, foreign[0], "order.created").await;
        let none = world.ask(&["event", "requeue", "--dead", "--type", "order.shipped"]);
        assert_eq!(none["requeued"], 0);
        let answer = world.ask(&["event", "requeue", "--dead", "--type", "order.created", "--error", "empty token"]);
        assert_eq!(answer["events"], serde_json::json!([foreign[0]]));
        until(&world, foreign[2], "published").await;
        assert_eq!(world.row(wildcard[0]).await.state, "dead");
        assert_eq!(world.row(wildcard[1]).await.state, "held");
    }

    async fn an_event_that_is_named_twice_is_mended_once(engine: Engine) {
        let world = World::new(engine).await;
        let (dead, given_up) = (stopped_order(&world).await.1[0], stopped_order(&world).await.1[0]);
        spoil(&world, given_up, "order.*").await;
        let _relay = world.relay().start().await;
        until(&world, dead, "dead").await;
        until(&world, given_up, "dead").await;
        spoil(&world, dead, "order.created").await;
        let (dead, given_up) = (dead.to_string(), given_up.to_string());
        assert_eq!(world.ask(&["event", "requeue", &dead, &dead])["requeued"], 1);
        for reason in ["", "  ", &"x".repeat(1001)] {
            assert_eq!(world.verb(&["event", "discard", &given_up, "--no-tombstone", "--reason", reason]).code, Some(64));
        }
        assert_eq!(world.ask(&["event", "discard", &given_up, &given_up, "--no-tombstone", "--reason", "x"])["discarded"], 1);
    }

    async fn a_requeue_that_names_an_event_that_is_not_dead_changes_nothing(engine: Engine) {
        let world = World::new(engine).await;
        let (_, events) = stopped_order(&world).await;
        let _relay = world.relay().start().await;
        until(&world, events[2], "held").await;
        for (other, status) in [(events[1], 2), (Uuid::now_v7(), 3)] {
            let answer = world.verb(&["event", "requeue", &events[0].to_string(), &other.to_string()]);
            assert_eq!(answer.code, Some(status));
            assert!(answer.complained.contains(&other.to_string()), "{answer:?}");
            assert!(answer.complained.contains("nothing was changed"), "{answer:?}");
        }
        assert_eq!(world.row(events[0]).await.state, "dead");
        assert_eq!(actions(&world).await, []);
    }

    async fn a_discarded_event_leaves_a_tombstone_and_an_audit_record(engine: Engine) {
        let world = World::new(engine).await;
        let (order, events) = stopped_order(&world).await;
        let _relay = world.relay().start().await;
        until(&world, events[2], "held").await;

        let id = events[0].to_string();
        let refused = world.verb(&["event", "discard", &id, "--reason", "written by hand"]);
        assert_eq!(refused.code, Some(2));
        assert!(refused.complained.contains("--subject"), "{refused:?}");
        assert_eq!(world.row(events[0]).await.state, "dead");
        let answer = world.ask(&["event", "discard", &id, "--reason", "written by hand", "--subject", "order.created"]);
        assert_eq!(answer, serde_json::json!({ "discarded": 1, "tombstones": 1, "released": 2 }));

        until(&world, events[2], "published").await;
        assert_eq!(versions(&world).await, ["1", "2", "3"]);
        let tombstone = &world.messages().await[0];
        let header = |name: &str| tombstone.headers.get(name).unwrap().to_string();
        assert_eq!(tombstone.msg_id, format!("{id}.discarded"));
        assert_eq!(header(schema::names::TOMBSTONE_HEADER), schema::names::TOMBSTONE);
        assert_eq!((header("ce-id"), header("ce-subject")), (id.clone(), order.to_string()));
        let raw = world.jetstream().await.get_stream("ORDERS").await.unwrap().get_raw_message(1).await.unwrap();
        assert_eq!((raw.subject.as_str(), raw.payload.as_ref()), ("order.created", b"{}".as_slice()));

        let shown = world.ask(&["event", "show", &id]);
        assert_eq!(shown["event"]["state"], "published");
        assert_eq!(shown["discarded"][0]["reason"], "written by hand");
        assert_eq!(shown["discarded"][0]["discarded_by"], "ada");
        assert_eq!(shown["discarded"][0]["payload"]["version"], 1);
        assert_eq!(shown["discarded"][0]["subject"], "order.*");
    }

    async fn an_event_that_nobody_waits_for_is_discarded_without_a_tombstone(engine: Engine) {
        let world = World::new(engine).await;
        let order = Uuid::now_v7();
        let unversioned = world.append(order, 0).await; // no version 0 can be published
        let later = world.append(order, 1).await;
        let _relay = world.relay().start().await;
        until(&world, later, "held").await;
        let answer = world.ask(&["event", "discard", &unversioned.to_string(), "--reason", "no version"]);
        assert_eq!(answer["tombstones"], 0);
        until(&world, later, "published").await;
        assert_eq!(world.messages().await.len(), 1);
        let shown = world.ask(&["event", "show", &unversioned.to_string()]);
        assert!(shown["event"].is_null(), "{shown}");
        assert_eq!(shown["discarded"][0]["reason"], "no version");
    }

    async fn an_event_that_was_held_while_an_earlier_one_was_requeued_goes_on(engine: Engine) {
        let world = World::new(engine).await;
        let order = Uuid::now_v7();
        world.append(order, 1).await;
        let left_behind = world.append(order, 2).await;
        // As a relay leaves it that claimed before the requeue and settled after it.
        let hold = "UPDATE outbox SET state = 'held' WHERE event_id = ?";
        sqlx::query(hold).bind(left_behind).execute(&world.pool).await.unwrap();
        let _relay = world.relay().start().await;
        until(&world, left_behind, "published").await;
        assert_eq!(versions(&world).await, ["1", "2"]);
    }
}
