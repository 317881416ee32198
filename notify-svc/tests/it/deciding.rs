//! What operators see and decide: dead messages, gaps, the inbox, the status.

use std::num::NonZeroU32;

use schema::ids::OrderId;
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, at_version, stat, verb, verb_json};

/// The first version of an order, spoilt, and the second one, which waits for it.
async fn dead_first_version(setting: &Setting) -> Published {
    let order_id = OrderId::generate();
    let spoilt = Published { body: "no json".to_owned(), ..Published::created_of(order_id, "tea") };
    setting.publish(&[&spoilt, &Published::cancelled_of(order_id)]).await;
    setting.until_count("inbox_dead", 1).await;
    setting.until_count("inbox_parked", 1).await;
    spoilt
}

both_engines! {
    async fn each_decision_is_recorded_with_who_made_it_and_the_reason(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let spoilt = dead_first_version(&setting).await;
        let done = |verb_and_more: &[&str], actor: Option<&str>| {
            let actor = actor.map_or(Vec::new(), |actor| vec!["--actor", actor]);
            let (is_done, said) = verb(&setting, &[verb_and_more, &["--reason", "a test"], &actor].concat());
            assert!(is_done, "{said}");
        };
        let body = Published::created_of(spoilt.order_id(), "tea").body;
        sqlx::query("UPDATE inbox_dead SET payload = ?").bind(body).execute(&setting.pool).await.unwrap();
        done(&["message", "requeue", "1"], Some("ada"));
        setting.publish(&[&Published { body: "no json".to_owned(), ..Published::created() }]).await;
        setting.until_count("inbox_dead WHERE resolution IS NULL", 1).await;
        let id = verb_json(&setting, &["message", "list"]).1[0]["id"].to_string();
        done(&["message", "discard", &id], Some("bob"));
        let third = at_version(3, OrderId::generate());
        setting.publish(&[&third]).await;
        setting.until_count("inbox_parked", 1).await;
        let order = third.order_id().to_string();
        done(&["gap", "skip", &order, "--through", "2"], Some("eve"));
        done(&["stream", "reread", "--from-seq", "1"], None);
        assert!(!verb(&setting, &["message", "requeue", "1", "--reason", "again"]).0, "and is not on record");
        let actions: Vec<(String, String, String, String)> =
            sqlx::query_as("SELECT action, subject, actor, reason FROM inbox_action ORDER BY id")
                .fetch_all(&setting.pool)
                .await
                .unwrap();
        let named = |action: &str, subject: String, actor: &str| {
            (action.to_owned(), subject, actor.to_owned(), "a test".to_owned())
        };
        let [requeue, discard, skip, reread] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(*requeue, named("requeue", "message 1".to_owned(), "ada"));
        assert_eq!(*discard, named("discard", format!("message {id}"), "bob"));
        assert_eq!(*skip, named("skip", format!("order {order} versions 1 to 2"), "eve"));
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(*reread, named("reread", "from sequence 1".to_owned(), host.trim()));
        drop(service);
    }

    async fn a_discarded_message_is_kept_and_its_order_goes_on(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let spoilt = dead_first_version(&setting).await;
        let (_, gaps) = verb_json(&setting, &["gap", "list"]);
        assert_eq!(gaps[0]["aggregate_id"], spoilt.order_id().to_string());
        assert_eq!((&gaps[0]["missing_version"], &gaps[0]["waiting_version"]), (&1.into(), &2.into()));
        assert_eq!((&gaps[0]["event_type"], &gaps[0]["attempts"]), (&"order.cancelled".into(), &0.into()));
        let (_, dead) = verb_json(&setting, &["message", "list"]);
        let id = dead[0]["id"].to_string();
        let event = &spoilt.envelope;
        let named = [("event_id", event.event_id.to_string()), ("event_type", event.event_type.clone())];
        for (name, value) in named.into_iter().chain([("aggregate_id", spoilt.order_id().to_string()), ("version", "1".to_owned())]) {
            assert_eq!(dead[0][name], value, "{dead}");
        }
        let (_, shown) = verb_json(&setting, &["message", "show", &id]);
        assert_eq!((&shown["body"], &shown["subject"]), (&"no json".into(), &"order.created".into()));

        let (is_requeued, requeued) = verb_json(&setting, &["message", "requeue", &id, "--reason", "x"]);
        assert!(!is_requeued && requeued[0]["reason"].as_str().unwrap().contains("malformed payload"), "{requeued}");
        let (is_discarded, discarded) = verb_json(&setting, &["message", "discard", &id, "--reason", "nonsense"]);
        assert!(is_discarded, "{discarded}");
        assert_eq!(setting.count("notifications").await, 1, "in the transaction of the verb");
        assert_eq!((setting.count("inbox_parked").await, stat(&service, "processed").await), (0, 0));
        assert_eq!(verb_json(&setting, &["message", "list"]).1, serde_json::json!([]));
        let (_, shown) = verb_json(&setting, &["message", "show", &id]);
        assert_eq!((&shown["resolution"], &shown["note"]), (&"discarded".into(), &"nonsense".into()));
        let (is_discarded, again) = verb_json(&setting, &["message", "discard", &id, "--reason", "twice"]);
        assert!(!is_discarded, "{again}");
    }

    async fn a_requeued_message_has_its_effect_once(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let spoilt = dead_first_version(&setting).await;
        // What a new version of the code would do: it can read the message.
        let body = Published::created_of(spoilt.order_id(), "tea").body;
        sqlx::query("UPDATE inbox_dead SET payload = ?").bind(body).execute(&setting.pool).await.unwrap();
        let id = verb_json(&setting, &["message", "list"]).1[0]["id"].to_string();
        let (is_requeued, said) = verb(&setting, &["message", "requeue", &id, "--reason", "x"]);
        assert!(is_requeued, "{said}");
        let (is_requeued, _) = verb(&setting, &["message", "requeue", &id, "--reason", "x"]);
        assert!(!is_requeued, "once");
        assert_eq!(setting.count("notifications").await, 2, "in the transaction of the verb");
        assert_eq!((setting.count("inbox_parked").await, stat(&service, "processed").await), (0, 0));
        let event_id = spoilt.envelope.event_id.to_string();
        let (is_there, row) = verb_json(&setting, &["inbox", "show", &event_id]);
        assert!(is_there && row["version"] == 1, "{row}");
    }

    async fn a_requeued_message_whose_earlier_version_is_missing_is_parked(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let order_id = OrderId::generate();
        let spoilt = Published { body: "no json".to_owned(), ..Published::cancelled_of(order_id) };
        setting.publish(&[&spoilt]).await;
        setting.until_count("inbox_dead", 1).await;
        let body = Published::cancelled_of(order_id).body;
        sqlx::query("UPDATE inbox_dead SET payload = ?").bind(body).execute(&setting.pool).await.unwrap();
        let (is_requeued, said) = verb(&setting, &["message", "requeue", "1", "--reason", "x"]);
        assert!(is_requeued && said.contains("parked"), "{said}");
        assert_eq!(setting.count("inbox_parked").await, 1);
        setting.publish(&[&Published::created_of(order_id, "tea")]).await;
        setting.until_count("notifications", 2).await;
    }

    async fn a_later_version_can_not_be_discarded_before_an_earlier_one(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let spoilt = Published { body: "no json".to_owned(), ..Published::cancelled_of(OrderId::generate()) };
        setting.publish(&[&spoilt]).await;
        setting.until_count("inbox_dead", 1).await;
        let id = verb_json(&setting, &["message", "list"]).1[0]["id"].to_string();
        let (is_discarded, said) = verb(&setting, &["message", "discard", &id, "--reason", "x"]);
        assert!(!is_discarded && said.contains("version 1 of it has had no effect yet"), "{said}");
        assert_eq!(setting.count("inbox").await, 0, "a refusal writes nothing");
    }

    async fn versions_that_never_came_are_skipped_with_a_reason_and_their_order_goes_on(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let order_id = OrderId::generate();
        let mut fourth = Published::cancelled_of(order_id);
        fourth.envelope.aggregate_version = NonZeroU32::new(4);
        setting.publish(&[&fourth]).await;
        setting.until_count("inbox_parked", 1).await;
        let skip = |order: OrderId, through: &str| {
            verb_json(&setting, &["gap", "skip", &order.to_string(), "--through", through, "--reason", "lost in the migration"])
        };
        for (order, through, why) in [
            (order_id, "4", "version 4 of it is there and waits"),
            (order_id, "9", "version 4 of it is there and waits"),
            (OrderId::generate(), "3", "no event of this id waits"),
        ] {
            let (is_skipped, said) = skip(order, through);
            assert!(!is_skipped && said["reason"].as_str().unwrap().starts_with(why), "{said}");
        }
        assert_eq!(setting.count("inbox_gate WHERE version > 0").await, 0, "a refusal moves no gate");
        assert_eq!(setting.count("inbox_skipped").await, 0, "a refusal leaves no record");
        let (is_skipped, said) = skip(order_id, "2");
        assert!(is_skipped && said["from_version"] == 1, "{said}");
        let (is_skipped, said) = skip(order_id, "2");
        assert!(!is_skipped && said["reason"].as_str().unwrap().contains("passed already"), "{said}");
        assert_eq!(verb_json(&setting, &["gap", "list"]).1[0]["missing_version"], 3);
        assert!(skip(order_id, "3").0);
        assert_eq!(setting.count("notifications").await, 1, "in the transaction of the verb");
        assert_eq!(setting.count("inbox_parked").await, 0);
        let skipped: Vec<(u32, u32, String)> =
            sqlx::query_as("SELECT from_version, to_version, reason FROM inbox_skipped ORDER BY id")
                .fetch_all(&setting.pool)
                .await
                .unwrap();
        let reason = "lost in the migration".to_owned();
        assert_eq!(skipped, [(1, 2, reason.clone()), (3, 3, reason)]);
        // One that comes after all has no effect, and is kept.
        setting.publish(&[&Published::created_of(order_id, "tea")]).await;
        setting.until_count("inbox_dead", 1).await;
        setting.until_all_answered().await;
        assert_eq!((setting.count("notifications").await, stat(&service, "duplicates").await), (1, 0));
        let (_, dead) = verb_json(&setting, &["message", "list"]);
        assert!(dead[0]["reason"].as_str().unwrap().starts_with("late: version 1 of the order was skipped"), "{dead}");
        assert!(!verb(&setting, &["message", "requeue", "1", "--reason", "x"]).0);
    }

    async fn a_dead_version_is_not_skipped_but_requeued_or_discarded(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let spoilt = dead_first_version(&setting).await;
        let order_id = spoilt.order_id().to_string();
        let (is_skipped, said) = verb(&setting, &["gap", "skip", &order_id, "--through", "1", "--reason", "x"]);
        assert!(!is_skipped && said.contains("not missing but dead, as message 1"), "{said}");
        assert_eq!(setting.count("inbox_skipped").await, 0);
    }

    async fn a_dead_version_behind_a_missing_one_can_be_discarded_when_that_is_skipped(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let order_id = OrderId::generate();
        let mut third = Published::cancelled_of(order_id);
        third.envelope.aggregate_version = NonZeroU32::new(3);
        let spoilt = Published { body: "no json".to_owned(), ..Published::cancelled_of(order_id) };
        setting.publish(&[&spoilt]).await;
        setting.until_count("inbox_dead", 1).await;
        let (is_skipped, said) = verb(&setting, &["gap", "skip", &order_id.to_string(), "--through", "1", "--reason", "x"]);
        assert!(is_skipped, "{said}");
        let (is_discarded, said) = verb(&setting, &["message", "discard", "1", "--reason", "x"]);
        assert!(is_discarded, "{said}");
        setting.publish(&[&third]).await;
        setting.until_count("notifications", 1).await;
    }
}

#[tokio::test]
async fn every_verb_prints_a_table_and_helps() {
    let setting = Setting::new(Engine::MySql).await;
    let _service = setting.service().start().await;
    dead_first_version(&setting).await;
    for (arguments, expected) in [
        (&["status"][..], "dead messages   1"),
        (&["message", "list"], "malformed payload"),
        (&["message", "show", "1"], "header     ce-id: "),
        (&["gap", "list"], "missing  waiting"),
        (&["gap", "skip", "--help"], "--through"),
        (&["stream", "reread", "--help"], "--since"),
        (&["run", "--help"], "ACK_PENDING_MAX"),
        (&["message", "discard", "--help"], "--reason"),
        (&["inbox", "show", "--help"], "ce-id"),
    ] {
        let (is_success, said) = verb(&setting, arguments);
        // A message is dead: all is not well.
        assert_eq!(is_success, arguments != ["status"], "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let (_, status) = verb_json(&setting, &["status"]);
    assert_eq!((&status["dead_messages"], &status["consumer"]["ack_pending"]), (&1.into(), &0.into()), "{status}");
    let (is_there, said) = verb(&setting, &["inbox", "show", &OrderId::generate().to_string()]);
    assert!(!is_there && said.contains("has had no effect"), "{said}");
}
