//! To whom an email goes is asked of order-svc when it is sent: what becomes of emails while it can't say, or says that nobody is.

use serde_json::json;
use sqlx::Row;
use stack::recipients::ADA;
use stack::testing::{Answer, Recipients, eventually};
use stack::{Engine, both_engines};

use crate::email_faults::{all_due, count, server, smtp_service, until};
use crate::setting::{Published, Setting, get, metric, to, verb_json};

/// Waits until so many emails are sent, whenever they are due.
async fn until_sent(setting: &Setting, emails: i64) {
    eventually(&format!("{emails} emails are sent"), async || {
        all_due(setting).await;
        count(setting, "state = 'sent'").await == emails
    })
    .await;
}

both_engines! {
    async fn emails_wait_while_order_svc_is_away_and_then_go_out_once(engine: Engine) {
        let (setting, orders) = (Setting::new(engine).await, Recipients::of_this_process());
        let server = server().await;
        let service = smtp_service(&setting, &server).start().await;
        let unusable = "x".repeat(100_000);
        let mut published = 0;
        for answer in [
            Answer::Status(503), Answer::Status(429), Answer::Status(403), Answer::Status(404), Answer::Status(301),
            Answer::Text("no JSON".to_owned()), Answer::Text(unusable),
        ] {
            orders.answer_all(Some(answer.clone()));
            let events = [Published::created(), Published::created_by("bob@example.com")];
            setting.publish(&events.each_ref()).await;
            published += 2;
            let why = format!("it is told who is away: {answer:?}");
            eventually(&why, async || metric(&service, "notify_orders_up").await == 0.0).await;
            let waiting = "state = 'pending' AND attempts = 0 AND last_error LIKE '%order-svc can''t be asked%'";
            eventually(&why, async || count(&setting, waiting).await > 0).await;
            assert_eq!(metric(&service, r#"effect_up{queue="emails"}"#).await, 0.0);
            orders.answer_all(None);
            until_sent(&setting, published).await;
            assert_eq!(metric(&service, "notify_orders_up").await, 1.0);
        }
        assert_eq!(count(&setting, "attempts = 1").await, published, "no other attempt was spent");
        let mails = server.mails();
        assert_eq!(mails.len(), usize::try_from(published).unwrap());
        assert_eq!(mails.iter().filter(|mail| mail.recipients == [ADA]).count(), mails.len() / 2);
    }

    async fn an_email_to_somebody_who_was_erased_is_held_back_and_says_so(engine: Engine) {
        let (setting, orders) = (Setting::new(engine).await, Recipients::of_this_process());
        let server = server().await;
        let service = smtp_service(&setting, &server).start().await;
        orders.answer_all(Some(Answer::Status(503)));
        let [erased, other] = [Published::created(), Published::created()];
        setting.publish(&[&erased, &other]).await;
        until(&setting, "state = 'pending'", 2).await;
        orders.answer(erased.order_id().0, Answer::Erased);
        orders.answer_all(None);
        until_sent(&setting, 1).await;
        until(&setting, "state = 'suppressed' AND suppressed = 'erased'", 1).await;
        assert_eq!(server.mails().len(), 1);
        let page = get(&service, &format!("/api/notifications?order_id={}", erased.order_id())).await;
        assert_eq!(page["notifications"][0]["email"]["suppressed"], "erased");
        assert_eq!(get(&service, "/api/notifications?state=suppressed").await["notifications"].as_array().unwrap().len(), 1);
        let (_, listed) = verb_json(&setting, &["email", "list", "--state", "withdrawn"]);
        assert_eq!(listed[0]["reason"], "the recipient was erased");
        eventually("it is counted", async || metric(&service, r#"notify_suppressed_emails{cause="erased"}"#).await == 1.0).await;
    }

    async fn an_email_of_an_order_that_order_svc_does_not_know_is_dead_and_the_others_go_on(engine: Engine) {
        let (setting, orders) = (Setting::new(engine).await, Recipients::of_this_process());
        let server = server().await;
        let service = smtp_service(&setting, &server).env("EMAIL_ATTEMPTS_MAX", "2").start().await;
        let unknown = Published::created();
        orders.answer(unknown.order_id().0, Answer::NoOrder);
        setting.publish(&[&unknown]).await;
        until(&setting, "state = 'pending' AND last_error LIKE '%knows no such order%'", 1).await;
        eventually("it is dead once others went through", async || {
            setting.publish(&[&Published::created()]).await;
            all_due(&setting).await;
            count(&setting, "state = 'dead' AND last_error LIKE '%knows no such order%'").await == 1
        })
        .await;
        assert_eq!(metric(&service, "notify_orders_up").await, 1.0);
    }

    async fn an_address_in_an_event_is_ignored_and_stands_in_no_table(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        let _service = smtp_service(&setting, &server).start().await;
        let event = Published::created();
        let body = event.body.replacen('{', r#"{"email":"eve@example.com","#, 1);
        setting.publish(&[&Published { body, ..event }]).await;
        until(&setting, &format!("{} AND state = 'sent'", to(ADA)), 1).await;
        assert_eq!(server.mails()[0].recipients, [ADA]);
        let body: sqlx::types::Json<serde_json::Value> =
            sqlx::query("SELECT body FROM effect").fetch_one(&setting.pool).await.unwrap().get(0);
        assert_eq!(body.0, json!({"product": "Espresso machine", "quantity": 2}));
    }
}

#[tokio::test]
async fn a_token_that_order_svc_refuses_keeps_the_emails_until_its_file_has_the_right_one() {
    let (setting, orders) = (Setting::new(Engine::MySql).await, Recipients::of_this_process());
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    orders.ask_for("first");
    let service = smtp_service(&setting, &server).env("ORDERS_TOKEN_FILE", file.to_str().unwrap()).start().await;
    setting.publish(&[&Published::created()]).await;
    until_sent(&setting, 1).await;
    orders.ask_for("second");
    setting.publish(&[&Published::created()]).await;
    until(&setting, "state = 'pending' AND attempts = 0 AND last_error LIKE '%401%'", 1).await;
    assert_eq!(metric(&service, "notify_orders_up").await, 0.0);
    std::fs::write(&file, "second\n").unwrap();
    until_sent(&setting, 2).await;
    assert_eq!((server.mails().len(), count(&setting, "attempts = 1").await), (2, 2));
    assert!(!service.log().contains("second"), "a token is in no log");
}
