//! What operators see of emails and decide about them.

use serde_json::Value;
use stack::smtp::SmtpServer;
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, get, verb, verb_json};

async fn emails(setting: &Setting, state: &str) -> Vec<Value> {
    let (is_success, listed) = verb_json(setting, &["email", "list", "--state", state]);
    assert!(is_success, "{listed}");
    listed.as_array().unwrap().clone()
}

both_engines! {
    async fn dead_emails_are_listed_requeued_and_discarded_on_record(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut server = SmtpServer::new();
        server.start().await.unwrap();
        server.refuse("gone@example.com", "550 5.1.1 no such mailbox");
        server.refuse("lost@example.com", "550 5.1.2 no such domain");
        server.refuse("busy@example.com", "451 busy");
        let service = setting.service().env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", server.url()).start().await;
        let events = ["gone@example.com", "lost@example.com", "busy@example.com"].map(Published::created_by);
        setting.publish(&events.each_ref()).await;
        eventually("both are rejected", async || {
            emails(&setting, "waiting").await.iter().filter(|email| email["put_off"].as_u64() > Some(0)).count() == 2
        })
        .await;
        // It tells that the two are at fault.
        setting.publish(&[&Published::created()]).await;
        eventually("two are dead", async || emails(&setting, "dead").await.len() == 2).await;
        eventually("one waits", async || emails(&setting, "waiting").await[0]["attempts"].as_u64() >= Some(1)).await;
        assert_eq!(verb_json(&setting, &["email", "list"]).1.as_array().unwrap().len(), 3);

        let dead = emails(&setting, "dead").await;
        let of = |word: &str| dead.iter().find(|email| email["reason"].as_str().unwrap().contains(word)).unwrap()["id"].as_str().unwrap();
        let (gone, lost) = (of("mailbox"), of("domain"));
        let waiting = emails(&setting, "waiting").await[0]["id"].as_str().unwrap().to_owned();
        let shown = verb(&setting, &["email", "show", gone]).1;
        assert!(shown.contains(&events[0].order_id().to_string()) && !shown.contains("gone@example.com"), "{shown}");

        let because = ["--reason", "the mailbox is there now", "--actor", "eve"];
        let unknown = uuid::Uuid::nil().to_string();
        let (is_done, refused) = verb_json(&setting, &[&["email", "requeue", gone, &unknown][..], &because].concat());
        assert!(!is_done && refused["reason"].as_str().unwrap().contains("no effect"), "{refused}");
        assert_eq!(emails(&setting, "dead").await.len(), 2, "all or none");

        server.heal();
        // Requeued as they are they would be held back.
        let (is_done, said) = verb(&setting, &[&["suppression", "remove", "gone@example.com", "--cause", "bounce"][..], &because].concat());
        assert!(is_done, "{said}");
        let (is_done, requeued) = verb_json(&setting, &[&["email", "requeue", "--dead", "--error", "mailbox"][..], &because].concat());
        assert!(is_done && requeued["effects"] == serde_json::json!([gone]), "{requeued}");
        let (is_done, said) = verb(&setting, &[&["email", "requeue", &waiting][..], &because].concat());
        assert!(is_done, "{said}");
        eventually("all three are sent", async || get(&service, "/api/events/stats").await["emails"]["sent"] == 3).await;
        let (is_done, _) = verb_json(&setting, &[&["email", "requeue", gone][..], &because].concat());
        assert!(!is_done, "it is sent");

        let (is_done, said) = verb(&setting, &["email", "discard", lost, "--reason", "a typing error"]);
        assert!(is_done, "{said}");
        assert!(emails(&setting, "dead").await.is_empty());
        let (_, shown) = verb_json(&setting, &["email", "show", gone]);
        assert_eq!((&shown["actions"][0]["action"], &shown["actions"][0]["actor"]), (&"requeue".into(), &"eve".into()));
        assert!(shown["actions"][0]["last_error"].as_str().unwrap().contains("5.1.1"), "{shown}");
        let (_, shown) = verb_json(&setting, &["email", "show", lost]);
        assert_eq!((&shown["state"], &shown["actions"][0]["reason"]), (&"discarded".into(), &"a typing error".into()));
        assert!(!verb(&setting, &["email", "show", &unknown]).0);
        assert!(!verb(&setting, &["email", "discard", lost]).0, "a reason is needed");
    }
}
