//! A person looks: list, show.

use chrono::{Duration, Utc};
use stack::testing::eventually;
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::World;

fn ids(list: &serde_json::Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap().to_owned()).collect()
}

both_engines! {
    async fn events_are_listed_by_state_order_type_and_time(engine: Engine) {
        let world = World::new(engine).await;
        let order = Uuid::now_v7();
        let mut events = Vec::new();
        for version in 1..=3 {
            events.push(world.append(order, version).await.to_string());
        }
        let other = world.append(Uuid::now_v7(), 1).await;
        let age = "UPDATE outbox SET occurred_at = ?, state = 'published' WHERE event_id = ?";
        let old = Utc::now() - Duration::hours(3);
        sqlx::query(age).bind(old).bind(events[0].parse::<Uuid>().unwrap()).execute(&world.pool).await.unwrap();

        let order = order.to_string();
        assert_eq!(ids(&world.ask(&["event", "list"])).len(), 4);
        let of_type = format!("order/{order}");
        let all = ids(&world.ask(&["event", "list", "--aggregate", &of_type]));
        assert_eq!(all, [&*events[2], &*events[1], &*events[0]]);
        assert_eq!(ids(&world.ask(&["event", "list", "--aggregate", &of_type, "--limit", "1"])), [&*events[2]]);
        assert_eq!(ids(&world.ask(&["event", "list", "--state", "published"])), [&*events[0]]);
        assert_eq!(ids(&world.ask(&["event", "list", "--state", "pending", "--since", "1h"])).len(), 3);
        assert_eq!(ids(&world.ask(&["event", "list", "--until", "1h"])), [&*events[0]]);
        assert_eq!(ids(&world.ask(&["event", "list", "--since", "4h", "--until", "2h"])), [&*events[0]]);
        assert_eq!(ids(&world.ask(&["event", "list", "--type", "order.cancelled"])).len(), 0);
        let page = world.ask(&["event", "list", "--limit", "2"]);
        let before = page[1]["seq"].to_string();
        assert_eq!(ids(&page), [other.to_string(), events[2].clone()]);
        assert_eq!(ids(&world.ask(&["event", "list", "--before", &before])), [&*events[1], &*events[0]]);
        assert!(world.verb(&["event", "list"]).said.contains(&events[0]));
    }

    async fn show_tells_all_of_an_event_and_fails_for_one_that_is_not_there(engine: Engine) {
        let world = World::new(engine).await;
        let event = world.append(Uuid::now_v7(), 7).await;
        let _relay = world.relay().start().await;
        eventually("it is published", async || world.row(event).await.state == "published").await;
        let shown = world.ask(&["event", "show", &event.to_string()]);
        assert_eq!(shown["event"]["payload"]["version"], 7);
        assert_eq!(shown["event"]["stream_seq"], 1);
        let text = world.verb(&["event", "show", &event.to_string()]).said;
        assert!(text.contains("published") && text.contains("\"version\""), "{text}");
        let missing = world.verb(&["event", "show", &Uuid::now_v7().to_string()]);
        assert_eq!((missing.code, missing.complained.contains("there is no event")), (Some(3), true), "{missing:?}");
    }
}

#[test]
fn each_verb_explains_itself() {
    let verbs = "run, status, event list, event show, event requeue, event discard, event replay, event purge, \
                 subject list, subject pause, subject resume, stream check, stream forget";
    for verb in verbs.split(", ") {
        let binary = env!("CARGO_BIN_EXE_outbox-relay");
        let output = std::process::Command::new(binary).args(verb.split(' ')).arg("--help").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("DATABASE_URL"), "{verb}: {said}");
        assert!(verb == "run" || said.contains("--json"), "{verb}: {said}");
    }
}
