//! Each notification is emailed: as a file, or to an SMTP server that may be away or say no.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use effect::UNDER_WAY_MAX;
use schema::ids::OrderId;
use stack::smtp::SmtpServer;
use stack::testing::{Service, eventually};
use stack::{Engine, both_engines};

use crate::email_faults::until_when_due;
use crate::setting::{Published, Setting, get, verb};

fn smtp_service(setting: &Setting, server: &SmtpServer) -> Service {
    setting.service().env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", server.url())
}

async fn email(service: &Service, order_id: OrderId) -> serde_json::Value {
    get(service, &format!("/api/notifications?order_id={order_id}")).await["notifications"][0]["email"].clone()
}

async fn until_email_is(service: &Service, order_id: OrderId, state: &str) {
    eventually(&format!("the email is {state}"), async || email(service, order_id).await["state"] == state).await;
}

both_engines! {
    async fn an_email_file_appears_for_each_notification(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let events: Vec<_> = (0..30).map(|_| Published::created()).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        for event in &events {
            until_email_is(&service, event.order_id(), "sent").await;
            let listed = get(&service, &format!("/api/notifications?order_id={}", event.order_id())).await;
            let id = listed["notifications"][0]["id"].as_str().unwrap().to_owned();
            let mail = std::fs::read_to_string(setting.emails.path().join(format!("{id}.eml"))).unwrap();
            assert!(mail.contains(&format!("Message-ID: <{id}@example.com>\r\n")), "{mail}");
            assert!(mail.contains("\r\nTo: ada@example.com\r\n"), "{mail}");
        }
        assert_eq!(std::fs::read_dir(setting.emails.path()).unwrap().count(), 30);
        assert!(!service.log().contains("ada@example.com"), "no address in the log");
    }

    async fn two_senders_send_each_email_once(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut server = SmtpServer::new();
        server.start().await.unwrap();
        let (one, _other) = (smtp_service(&setting, &server).start().await, smtp_service(&setting, &server).start().await);
        let events: Vec<_> = (0..100).map(|_| Published::created()).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        eventually("all are sent", async || get(&one, "/api/events/stats").await["emails"]["sent"] == 100).await;
        let mut ids: Vec<_> = server.mails().iter().map(|mail| mail.header("Message-ID").to_owned()).collect();
        assert_eq!(ids.len(), 100);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 100);
    }

    async fn an_smtp_server_that_is_away_spends_no_attempt(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut server = SmtpServer::new();
        let service = smtp_service(&setting, &server).env("EMAIL_ATTEMPTS_MAX", "1").start().await;
        let event = Published::created();
        setting.publish(&[&event]).await;
        eventually("sending was tried more than once", async || {
            let metrics = reqwest::get(service.admin_url("/metrics")).await.unwrap().text().await.unwrap();
            let tries = metrics.lines().find_map(|line| {
                line.strip_prefix("effect_attempts_total{outcome=\"put_off\",queue=\"emails\"} ")
            });
            tries.unwrap().parse::<u32>().unwrap() > 1
        })
        .await;
        assert_eq!(email(&service, event.order_id()).await["state"], "pending");
        server.start().await.unwrap();
        until_email_is(&service, event.order_id(), "sent").await;
        assert_eq!(server.mails().len(), 1);
    }

    async fn an_email_that_is_refused_alone_waits_is_told_and_ends_dead_when_another_goes_through(engine: Engine) {
        for refusal in ["451 mailbox is busy", "550 5.1.1 no such mailbox"] {
            let setting = Setting::new(engine).await;
            let mut server = SmtpServer::new();
            server.start().await.unwrap();
            server.refuse("ada@example.com", refusal);
            let service = smtp_service(&setting, &server).env("EMAIL_ATTEMPTS_MAX", "2").start().await;
            let event = Published::created();
            setting.publish(&[&event]).await;
            until_when_due(&setting, "put_off > 2 AND state = 'pending' AND attempts < 2", 1).await;
            sqlx::query("UPDATE effect SET created_at = created_at - INTERVAL 2 HOUR").execute(&setting.pool).await.unwrap();
            let (is_well, said) = verb(&setting, &["status"]);
            assert!(!is_well && said.contains("1 emails wait for more than an hour"), "{said}");
            setting.publish(&[&Published::created_by("eve@example.com")]).await;
            until_email_is(&service, event.order_id(), "dead").await;
            let reason: String =
                sqlx::query_scalar("SELECT last_error FROM effect WHERE state = 'dead'").fetch_one(&setting.pool).await.unwrap();
            assert!(reason.contains(refusal), "{reason}");
            assert_eq!(server.mails().len(), 1);
        }
    }
}

/// The crash window is between the server's yes and the settlement; the leases of the dead process are cut short.
#[tokio::test]
async fn a_kill_repeats_no_more_emails_than_were_under_way_each_with_its_message_id() {
    let setting = Setting::new(Engine::MySql).await;
    let mut server = SmtpServer::new();
    server.start().await.unwrap();
    server.keep_silent_after_data(true);
    let mut service = smtp_service(&setting, &server).start().await;
    let events: Vec<_> = (0..30).map(|_| Published::created()).collect();
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    setting.until_count("notifications", 30).await;
    eventually("as many are under way as may be", async || server.mails().len() == UNDER_WAY_MAX).await;
    service.kill().await;
    server.keep_silent_after_data(false);
    let due = "UPDATE effect SET claimed_by = NULL, next_attempt_at = UTC_TIMESTAMP(6)";
    sqlx::query(due).execute(&setting.pool).await.unwrap();
    service.restart().await;
    eventually("all are sent", async || get(&service, "/api/events/stats").await["emails"]["sent"] == 30).await;
    let mails = server.mails();
    let (taken_first, rest) = mails.split_at(UNDER_WAY_MAX);
    assert_eq!(rest.len(), 30, "each of the thirty is answered for once");
    for mail in taken_first {
        let repeats: Vec<_> =
            rest.iter().filter(|other| other.header("Message-ID") == mail.header("Message-ID")).collect();
        let [repeat] = repeats[..] else { panic!("{repeats:?}") };
        assert_eq!(mail.content, repeat.content, "the repeat is the same email");
    }
}

#[tokio::test]
async fn nobody_else_may_read_the_files_of_the_emails() {
    let setting = Setting::new(Engine::MySql).await;
    let folder = setting.emails.path().join("new/mail");
    let service = setting.service().env("EMAIL_DIR", folder.to_str().unwrap()).start().await;
    let event = Published::created();
    setting.publish(&[&event]).await;
    until_email_is(&service, event.order_id(), "sent").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&file), 0o600);
}

#[tokio::test]
async fn emails_leave_no_faster_than_the_rate() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().env("EMAIL_RATE_MAX", "10").start().await;
    let events: Vec<_> = (0..15).map(|_| Published::created()).collect();
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    eventually("all are sent", async || get(&service, "/api/events/stats").await["emails"]["sent"] == 15).await;
    let span = "SELECT TIMESTAMPDIFF(MICROSECOND, MIN(sent_at), MAX(sent_at)) FROM notifications";
    let micros: i64 = sqlx::query_scalar(span).fetch_one(&setting.pool).await.unwrap();
    assert!(micros >= 1_200_000, "15 emails at 10 a second took {micros} us");
}

#[tokio::test]
async fn an_email_by_smtp_says_what_was_ordered() {
    let setting = Setting::new(Engine::MySql).await;
    let mut server = SmtpServer::new();
    server.start().await.unwrap();
    let service = smtp_service(&setting, &server).start().await;
    let event = Published::created();
    setting.publish(&[&event]).await;
    until_email_is(&service, event.order_id(), "sent").await;
    let [mail] = &server.mails()[..] else { panic!("one mail") };
    assert_eq!(mail.recipients, ["ada@example.com"]);
    assert_eq!(mail.header("Subject"), "Your order of Espresso machine");
    assert_eq!(mail.header("To"), "ada@example.com");
    assert!(mail.content.contains("2 x Espresso machine"), "{}", mail.content);
    assert!(mail.content.contains(&event.order_id().to_string()), "{}", mail.content);
}

#[tokio::test]
async fn a_product_adds_no_header_and_no_recipient() {
    let setting = Setting::new(Engine::MySql).await;
    let mut server = SmtpServer::new();
    server.start().await.unwrap();
    let service = smtp_service(&setting, &server).start().await;
    let product = "tea\r\nBcc: eve@example.com\r\n.\r\nRCPT TO:<eve@example.com>\r\n\r\n<script>☕";
    let event = Published::created_of(OrderId::generate(), product);
    setting.publish(&[&event]).await;
    until_email_is(&service, event.order_id(), "sent").await;
    let [mail] = &server.mails()[..] else { panic!("one mail") };
    assert_eq!(mail.recipients, ["ada@example.com"]);
    assert_eq!(mail.header("Bcc"), "");
    assert!(mail.header("Subject").starts_with("Your order of"), "{}", mail.content);
    let (_, html) = mail.content.split_once("text/html").unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
}
