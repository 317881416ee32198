//! Addresses that get no email: who adds them, what is held back, and what tells of it.

use std::time::Duration;

use serde_json::{Value, json};
use stack::smtp::{Fault, Stage};
use stack::testing::{Recipients, Service, eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::email_faults::{all_due, count, server, smtp_service, until};
use crate::setting::{Published, Setting, get, metric, verb, verb_json};

const BECAUSE: [&str; 4] = ["--reason", "ticket 12", "--actor", "eve"];

fn suppress(setting: &Setting, arguments: &[&str]) -> (bool, Value) {
    verb_json(setting, &[&["suppression", "add"], arguments, &BECAUSE].concat())
}

async fn suppressed(service: &Service) -> Vec<(String, String)> {
    let page = get(service, "/api/notifications?state=suppressed").await;
    let told = page["notifications"].as_array().unwrap().iter().map(|found| {
        let (order, email) = (found["order_id"].as_str().unwrap().parse().unwrap(), &found["email"]);
        let recipient = &Recipients::of_this_process().orders()[&order];
        assert_eq!(email["state"], "suppressed");
        (recipient.to_owned(), email["suppressed"].as_str().unwrap().to_owned())
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

fn pair(recipient: &str, cause: &str) -> (String, String) {
    (recipient.to_owned(), cause.to_owned())
}

both_engines! {
    async fn a_suppressed_address_gets_nothing_and_its_notifications_say_so(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        server.fail(Stage::Rcpt, Fault::Say("451 busy"));
        let service = smtp_service(&setting, &server).start().await;
        // Enqueued and tried before it is suppressed.
        setting.publish(&[&Published::created_by("Early@Example.com")]).await;
        until(&setting, "state = 'pending' AND attempts = 1", 1).await;
        let (is_done, said) = suppress(&setting, &["early@example.com", "--cause", "complaint"]);
        assert!(is_done && said["outcome"] == "added", "{said}");
        let (is_done, said) = suppress(&setting, &["LATE@example.com", "--cause", "unsubscribed"]);
        assert!(is_done, "{said}");
        server.heal();
        setting.publish(&[&Published::created_by("late@example.com"), &Published::created_by("LATE@EXAMPLE.COM"), &Published::created()]).await;
        eventually_within(Duration::from_secs(60), "three are held back, and one is sent", async || {
            all_due(&setting).await;
            count(&setting, "state = 'suppressed'").await == 3 && count(&setting, "state = 'sent'").await == 1
        })
        .await;
        assert_eq!(server.mails().len(), 1, "nothing else left");
        let expected = [
            pair("Early@Example.com", "complaint"), pair("LATE@EXAMPLE.COM", "unsubscribed"), pair("late@example.com", "unsubscribed"),
        ];
        assert_eq!(suppressed(&service).await, expected);
        let (_, listed) = verb_json(&setting, &["email", "list", "--state", "withdrawn"]);
        let reasons: Vec<_> = listed.as_array().unwrap().iter().map(|email| email["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["the recipient is suppressed: complaint", "the recipient is suppressed: unsubscribed", "the recipient is suppressed: unsubscribed"]);
        eventually("both are counted by cause", async || {
            metric(&service, r#"notify_suppressed_emails{cause="unsubscribed"}"#).await == 2.0
                && metric(&service, r#"notify_suppressed_addresses{cause="complaint"}"#).await == 1.0
        })
        .await;
        assert_eq!(get(&service, "/api/events/stats").await["emails"]["pending"], 0);

        // Whoever is removed gets what comes from then on, and not what was held back.
        let (is_done, said) = verb_json(&setting, &[&["suppression", "remove", "Late@example.com", "--cause", "unsubscribed"][..], &BECAUSE].concat());
        assert!(is_done && said["outcome"] == "removed", "{said}");
        setting.publish(&[&Published::created_by("late@example.com")]).await;
        until(&setting, "state = 'sent'", 2).await;
        assert_eq!(count(&setting, "state = 'suppressed'").await, 3);
    }

    async fn an_address_that_the_server_does_not_know_is_suppressed_as_a_bounce(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        let service = smtp_service(&setting, &server).start().await;
        server.fail_for("Gone@example.com", Stage::Rcpt, Fault::Say("550 5.1.1 no such user"));
        server.fail_for("spam@example.com", Stage::Dot, Fault::Say("554 5.7.1 looks like spam"));
        server.fail_for("policy@example.com", Stage::Rcpt, Fault::Say("550 not from you"));
        let refused = ["Gone@example.com", "spam@example.com", "policy@example.com"].map(Published::created_by);
        setting.publish(&refused.each_ref()).await;
        until(&setting, "state = 'pending' AND put_off > 0", 3).await;
        assert_eq!(setting.count("suppression").await, 0, "all fail: it may be the server's fault");
        setting.publish(&[&Published::created()]).await;
        until(&setting, "state = 'dead'", 3).await;
        let (_, listed) = verb_json(&setting, &["suppression", "list", "--cause", "bounce"]);
        let listed = listed.as_array().unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!((&listed[0]["address"], &listed[0]["added_by"]), (&json!("g***@example.com"), &json!("notify-svc")));
        assert!(listed[0]["reason"].as_str().unwrap().contains("5.1.1"), "{listed:?}");

        server.heal();
        setting.publish(&[&Published::created_by("gone@EXAMPLE.com"), &Published::created_by("policy@example.com")]).await;
        until(&setting, "state = 'sent'", 2).await;
        assert_eq!(suppressed(&service).await, [pair("gone@EXAMPLE.com", "bounce")]);
        // Requeued while the address is on the list, it is held back; nothing is dead any more.
        let (is_done, said) = verb(&setting, &["email", "requeue", "--dead", "--error", "5.1.1", "--reason", "a test"]);
        assert!(is_done, "{said}");
        until(&setting, "state = 'suppressed'", 2).await;
    }

    async fn an_address_gets_nothing_until_each_of_its_causes_is_removed(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        let service = smtp_service(&setting, &server).start().await;
        for cause in ["bounce", "unsubscribed"] {
            let (is_done, said) = suppress(&setting, &["ada@example.com", "--cause", cause]);
            assert!(is_done, "{said}");
        }
        assert!(suppress(&setting, &["eve@example.com"]).0);
        let (_, page) = verb_json(&setting, &["suppression", "list", "--limit", "1"]);
        let causes: Vec<_> = page.as_array().unwrap().iter().map(|line| line["cause"].as_str().unwrap()).collect();
        assert_eq!(causes, ["bounce", "unsubscribed"], "a page has all causes of its addresses");

        let remove = |cause| verb_json(&setting, &[&["suppression", "remove", "Ada@example.com", "--cause", cause][..], &BECAUSE].concat());
        assert!(!verb(&setting, &[&["suppression", "remove", "ada@example.com"][..], &BECAUSE].concat()).0, "a cause is needed");
        let (is_done, said) = remove("bounce");
        assert!(is_done && said["still_suppressed"].as_array().unwrap().len() == 1, "{said}");
        let (is_done, said) = remove("bounce");
        assert!(!is_done && said["outcome"] == "unknown", "{said}");
        setting.publish(&[&Published::created_by("ada@example.com")]).await;
        until(&setting, "state = 'suppressed'", 1).await;
        assert_eq!(suppressed(&service).await, [pair("ada@example.com", "unsubscribed")]);

        let (is_done, said) = remove("unsubscribed");
        assert!(is_done && said["still_suppressed"].as_array().unwrap().is_empty(), "{said}");
        setting.publish(&[&Published::created_by("ada@example.com")]).await;
        until(&setting, "state = 'sent'", 1).await;
    }

    async fn decisions_about_suppressed_addresses_are_all_or_none_and_recorded(engine: Engine) {
        let setting = Setting::new(engine).await;
        assert!(!verb(&setting, &["suppression", "add", "a@example.com"]).0, "a reason is needed");
        assert!(!verb(&setting, &["suppression", "add", "nobody", "--reason", "a test"]).0, "an address is needed");
        assert!(suppress(&setting, &["a@example.com", "B@example.com"]).0);
        let (is_done, said) = suppress(&setting, &["c@example.com", "A@EXAMPLE.com"]);
        assert!(!is_done && said["reason"].as_str().unwrap().contains("suppressed for that cause already"), "{said}");
        let remove = [&["suppression", "remove", "a@example.com", "c@example.com", "--cause", "operator"][..], &BECAUSE].concat();
        let (is_done, said) = verb_json(&setting, &remove);
        assert!(!is_done && said["reason"].as_str().unwrap().contains("not suppressed"), "{said}");
        assert_eq!((setting.count("suppression").await, setting.count("suppression_action").await), (2, 2));
        let (_, listed) = verb_json(&setting, &["suppression", "list", "--after", "a@example.com"]);
        let listed = listed.as_array().unwrap();
        assert_eq!((listed.len(), &listed[0]["address"], &listed[0]["cause"]), (1, &json!("b***@example.com"), &json!("operator")));
        assert!(verb(&setting, &[&["suppression", "remove", "A@example.com", "--cause", "operator"][..], &BECAUSE].concat()).0);
        let (_, said) = verb(&setting, &["suppression", "list"]);
        assert!(said.contains("eve") && said.contains("ticket 12") && !said.contains("a***@example.com"), "{said}");
        let recorded: (String, String, String, String) =
            sqlx::query_as("SELECT actor, action, address, reason FROM suppression_action ORDER BY id DESC LIMIT 1")
                .fetch_one(&setting.pool)
                .await
                .unwrap();
        let expected = ["eve", "remove", "a@example.com", "ticket 12"].map(str::to_owned);
        assert_eq!(recorded, expected.into());
    }
}
