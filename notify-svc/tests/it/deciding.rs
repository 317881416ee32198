//! What operators see and decide: dead messages, gaps, the inbox, the status.

use schema::ids::OrderId;
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, stat, verb, verb_json};

/// The first version of an order, spoilt, and the second one, which waits for it.
async fn dead_elder(setting: &Setting) -> Published {
    let order_id = OrderId::generate();
    let spoilt = Published { body: "no json".to_owned(), ..Published::created_of(order_id, "tea") };
    setting.publish(&[&spoilt, &Published::cancelled_of(order_id)]).await;
    setting.until_count("inbox_dead", 1).await;
    setting.until_count("inbox_waiting", 1).await;
    spoilt
}

both_engines! {
    async fn a_discarded_message_is_kept_and_its_order_goes_on(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let spoilt = dead_elder(&setting).await;
        let (_, gaps) = verb_json(&setting, &["gaps"]);
        assert_eq!(gaps[0]["order_id"], spoilt.order_id().to_string());
        assert_eq!((&gaps[0]["missing_version"], &gaps[0]["waiting_version"]), (&1.into(), &2.into()));
        let (_, dead) = verb_json(&setting, &["dead", "list"]);
        let id = dead[0]["id"].to_string();
        let (_, shown) = verb_json(&setting, &["dead", "show", &id]);
        assert_eq!((&shown["body"], &shown["subject"]), (&"no json".into(), &"order.created".into()));

        let (is_requeued, requeued) = verb_json(&setting, &["dead", "requeue", &id]);
        assert!(!is_requeued && requeued["reason"].as_str().unwrap().contains("malformed payload"), "{requeued}");
        let (is_discarded, discarded) = verb_json(&setting, &["dead", "discard", &id, "--reason", "nonsense"]);
        assert!(is_discarded, "{discarded}");
        setting.until_count("notifications", 1).await;
        setting.until_all_answered().await;
        assert_eq!(stat(&service, "processed").await, 1);
        assert_eq!(verb_json(&setting, &["dead", "list"]).1, serde_json::json!([]));
        let (_, shown) = verb_json(&setting, &["dead", "show", &id]);
        assert_eq!((&shown["resolution"], &shown["note"]), (&"discarded".into(), &"nonsense".into()));
        let (is_discarded, again) = verb_json(&setting, &["dead", "discard", &id, "--reason", "twice"]);
        assert!(!is_discarded, "{again}");
        eventually("nobody waits", async || setting.count("inbox_waiting").await == 0).await;
    }

    async fn a_requeued_message_has_its_effect_once(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let spoilt = dead_elder(&setting).await;
        // What a new version of the code would do: it can read the message.
        let body = Published::created_of(spoilt.order_id(), "tea").body;
        sqlx::query("UPDATE inbox_dead SET payload = ?").bind(body).execute(&setting.pool).await.unwrap();
        let id = verb_json(&setting, &["dead", "list"]).1[0]["id"].to_string();
        let (is_requeued, said) = verb(&setting, &["dead", "requeue", &id]);
        assert!(is_requeued, "{said}");
        let (is_requeued, _) = verb(&setting, &["dead", "requeue", &id]);
        assert!(!is_requeued, "once");
        setting.until_count("notifications", 2).await;
        setting.until_all_answered().await;
        assert_eq!(stat(&service, "processed").await, 1, "the other one was the operator's");
        let event_id = spoilt.envelope.event_id.to_string();
        let (is_there, row) = verb_json(&setting, &["inbox", "show", &event_id]);
        assert!(is_there && row["version"] == 1, "{row}");
    }

    async fn a_younger_version_can_not_be_discarded_before_its_elder(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let spoilt = Published { body: "no json".to_owned(), ..Published::cancelled_of(OrderId::generate()) };
        setting.publish(&[&spoilt]).await;
        setting.until_count("inbox_dead", 1).await;
        let id = verb_json(&setting, &["dead", "list"]).1[0]["id"].to_string();
        let (is_discarded, said) = verb(&setting, &["dead", "discard", &id, "--reason", "x"]);
        assert!(!is_discarded && said.contains("version 1 of the order has had no effect yet"), "{said}");
        assert_eq!(setting.count("inbox").await, 0, "a refusal writes nothing");
    }
}

#[tokio::test]
async fn every_verb_prints_a_table_and_helps() {
    let setting = Setting::new(Engine::MySql).await;
    let _service = setting.service().start().await;
    dead_elder(&setting).await;
    for (arguments, expected) in [
        (&["status"][..], "dead messages             1"),
        (&["dead", "list"], "malformed payload"),
        (&["dead", "show", "1"], "header     ce-id: "),
        (&["gaps"], "missing waiting"),
        (&["run", "--help"], "ACK_PENDING_MAX"),
        (&["dead", "discard", "--help"], "--reason"),
        (&["inbox", "show", "--help"], "ce-id"),
    ] {
        let (is_success, said) = verb(&setting, arguments);
        assert!(is_success && said.contains(expected), "{arguments:?}: {said}");
    }
    let (_, status) = verb_json(&setting, &["status"]);
    assert_eq!((&status["dead_messages"], &status["consumer"]["ack_pending"]), (&1.into(), &1.into()), "{status}");
    let (is_there, said) = verb(&setting, &["inbox", "show", &OrderId::generate().to_string()]);
    assert!(!is_there && said.contains("has had no effect"), "{said}");
}
