//! Emails at a real SMTP server: what arrives, who may send, and to whom anything is sent at all.

use schema::ids::OrderId;
use stack::Engine;
use stack::testing::{Service, eventually};

use crate::mail_server::{Authority, MailServer};
use crate::setting::{Published, Setting, get, metric};

fn smtp_service(setting: &Setting, url: &str) -> Service {
    setting.service().env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", url)
}

fn plain_url(server: &MailServer) -> String {
    format!("smtp://{}", server.address())
}

/// As a program that keeps no versions would write it.
fn foreign(product: &str) -> Published {
    let mut event = Published::created_of(OrderId::generate(), product);
    event.envelope.aggregate_version = None;
    event
}

async fn email(service: &Service, event: &Published) -> serde_json::Value {
    get(service, &format!("/api/notifications?order_id={}", event.order_id())).await["notifications"][0]["email"]
        .clone()
}

async fn until_email_is(service: &Service, event: &Published, state: &str) {
    eventually(&format!("the email is {state}"), async || email(service, event).await["state"] == state).await;
}

/// The server is there and does not suit, or we do not suit it.
async fn until_put_off(service: &Service, why: &str) {
    let unreachable = r#"effect_attempts_total{outcome="put_off",queue="emails"}"#;
    eventually("the email was put off", async || metric(service, unreachable).await >= 1.0).await;
    let log = service.log();
    let line = log.lines().find(|line| line.contains("effects wait for their other side")).unwrap_or_default();
    assert!(line.contains(why), "{log}");
}

#[tokio::test]
async fn a_real_server_gets_the_same_email_as_text_and_as_html() {
    let setting = Setting::new(Engine::MySql).await;
    let server = MailServer::new().start().await;
    let service = smtp_service(&setting, &plain_url(&server)).start().await;
    let event = Published::created();
    setting.publish(&[&event]).await;
    until_email_is(&service, &event, "sent").await;
    let mail = server.mail();
    assert_eq!(mail.recipients, ["ada@example.com"]);
    assert_eq!(mail.header("From"), "Web Store <orders@example.com>");
    assert_eq!(mail.header("To"), "ada@example.com");
    assert_eq!(mail.header("Subject"), "Your order of Espresso machine");
    let listed = get(&service, "/api/notifications").await;
    let id = listed["notifications"][0]["id"].as_str().unwrap();
    assert_eq!(mail.header("Message-ID"), format!("<{id}@example.com>"));
    assert_eq!(mail.parts, ["multipart/alternative", "text/plain", "text/html"]);
    let order_id = event.order_id().to_string();
    for part in [&mail.text, &mail.html] {
        assert!(
            part.contains("Thank you for your order.") && part.contains("2 x ") && part.contains(&order_id),
            "{part}"
        );
        assert!(part.contains("Espresso machine"), "{part}");
    }
    assert!(!mail.is_encrypted && mail.user.is_none() && mail.defects.is_empty(), "{mail:?}");
}

#[tokio::test]
async fn whatever_was_ordered_arrives_as_text_and_adds_no_header() {
    let setting = Setting::new(Engine::MySql).await;
    let server = MailServer::new().start().await;
    let service = smtp_service(&setting, &plain_url(&server)).start().await;
    let emojis = "\u{1f469}\u{200d}\u{1f680}".repeat(60);
    let products = [
        ("<script>alert('1')</script>", "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"),
        ("</bdi></p>\"&amp;<!--", "&lt;/bdi&gt;&lt;/p&gt;&quot;&amp;amp;&lt;!--"),
        ("\u{2615} \u{1f468}\u{200d}\u{1f373} caf\u{e9}", "\u{2615} \u{1f468}\u{200d}\u{1f373} caf\u{e9}"),
        (
            "\u{642}\u{647}\u{648}\u{629} \u{5e7}\u{5e4}\u{5d4} 2 x",
            "\u{642}\u{647}\u{648}\u{629} \u{5e7}\u{5e4}\u{5d4} 2 x",
        ),
        ("{{order}} {{", "{{order}} {{"),
        ("=?utf-8?B?SGVsbG8=?=", "=?utf-8?B?SGVsbG8=?="),
        (emojis.as_str(), emojis.as_str()),
    ];
    for (product, in_html) in products {
        let event = Published::created_of(OrderId::generate(), product);
        setting.publish(&[&event]).await;
        until_email_is(&service, &event, "sent").await;
        let mail = server.mails().pop().unwrap();
        // What looks like an encoded word is kept from being decoded.
        let in_subject = product.replace("=?", "= ?");
        assert_eq!(mail.header("Subject"), format!("Your order of {in_subject}"), "{:?}", mail.lines);
        assert!(mail.text.lines().any(|line| line == format!("2 x {product}")), "{}", mail.text);
        assert!(mail.html.contains(&format!("<bdi>{in_html}</bdi>")), "{}", mail.html);
        assert!(mail.defects.is_empty() && mail.lines.iter().all(|line| line.len() <= 998), "{mail:?}");
    }
    let breaks = foreign("tea\r\nBcc: eve@example.com\r\n.\r\nRCPT TO:<eve@example.com>\r\n\r\n<b>\u{0}\u{85}\u{2028}");
    setting.publish(&[&breaks]).await;
    until_email_is(&service, &breaks, "sent").await;
    let mail = server.mails().pop().unwrap();
    let names: Vec<_> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Message-ID", "Date", "From", "To", "Subject", "MIME-Version", "Content-Type"]);
    assert_eq!(mail.recipients, ["ada@example.com"]);
    assert!(mail.text.contains("2 x tea  Bcc: eve@example.com  .  RCPT TO:"), "{}", mail.text);
    assert!(mail.html.contains("&lt;b&gt;"), "{}", mail.html);
}

#[tokio::test]
async fn a_server_that_wants_a_login_gets_one_by_plain_or_by_login() {
    for mechanism in ["PLAIN", "LOGIN"] {
        let setting = Setting::new(Engine::MySql).await;
        let server = MailServer::new().login(mechanism, "store", "p:ss/w@rd%").start().await;
        let right = format!("smtp://store:p%3Ass%2Fw%40rd%25@{}", server.address());
        let service = smtp_service(&setting, &right).start().await;
        let event = Published::created();
        setting.publish(&[&event]).await;
        until_email_is(&service, &event, "sent").await;
        assert_eq!(server.mail().user.as_deref(), Some("store"));
        assert!(!service.log().contains("p:ss"), "no secret in the log");
    }
}

#[tokio::test]
async fn a_wrong_password_keeps_the_emails_until_its_file_has_the_right_one() {
    let setting = Setting::new(Engine::MySql).await;
    let server = MailServer::new().login("PLAIN", "store", "right").start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, format!("smtp://store:hunter2@{}", server.address())).unwrap();
    let service = setting.service().env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL_FILE", file.to_str().unwrap());
    let service = service.env("EMAIL_ATTEMPTS_MAX", "1").start().await;
    let event = Published::created();
    setting.publish(&[&event]).await;
    until_put_off(&service, "535").await;
    let waiting = email(&service, &event).await;
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&"pending".into(), &0.into()));
    assert!(!service.log().contains("hunter2"), "no secret in the log");
    std::fs::write(&file, format!("smtp://store:right@{}", server.address())).unwrap();
    until_email_is(&service, &event, "sent").await;
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn tls_by_starttls_or_from_the_first_byte_is_spoken_with_whom_the_authority_vouches_for() {
    let authority = Authority::vouching_for("127.0.0.1");
    let servers = [
        (MailServer::new().starttls(&authority), "smtp", "?tls=required"),
        (MailServer::new().tls(&authority), "smtps", ""),
    ];
    for (server, scheme, end) in servers {
        let setting = Setting::new(Engine::MySql).await;
        let server = server.login("PLAIN", "store", "right").start().await;
        let url = format!("{scheme}://store:right@{}{end}", server.address());
        let service = smtp_service(&setting, &url).env("SMTP_CA_FILE", authority.file()).start().await;
        let event = Published::created();
        setting.publish(&[&event]).await;
        until_email_is(&service, &event, "sent").await;
        let mail = server.mail();
        assert!(mail.is_encrypted && mail.user.as_deref() == Some("store"), "{mail:?}");
    }
}

#[tokio::test]
async fn a_server_that_nobody_trusted_vouches_for_gets_neither_password_nor_email() {
    let (trusted, other) = (Authority::vouching_for("127.0.0.1"), Authority::vouching_for("127.0.0.1"));
    let elsewhere = Authority::vouching_for("mail.example.com");
    let cases = [
        (MailServer::new().starttls(&other), "smtp", "?tls=required", Some(&trusted), "UnknownIssuer"),
        (MailServer::new().tls(&other), "smtps", "", Some(&trusted), "UnknownIssuer"),
        (MailServer::new().tls(&other), "smtps", "", None, "UnknownIssuer"),
        (MailServer::new().tls(&elsewhere), "smtps", "", Some(&elsewhere), "not valid for name"),
        // Nobody between us and the server can make us speak in the clear.
        (MailServer::new().login("PLAIN", "store", "right"), "smtp", "?tls=required", Some(&trusted), "STARTTLS"),
    ];
    for (server, scheme, end, trusted, why) in cases {
        let setting = Setting::new(Engine::MySql).await;
        let server = server.start().await;
        let service = smtp_service(&setting, &format!("{scheme}://store:right@{}{end}", server.address()));
        let service = match trusted {
            Some(authority) => service.env("SMTP_CA_FILE", authority.file()),
            None => service,
        };
        let service = service.start().await;
        let event = Published::created();
        setting.publish(&[&event]).await;
        until_put_off(&service, why).await;
        let waiting = email(&service, &event).await;
        assert_eq!((&waiting["state"], &waiting["attempts"]), (&"pending".into(), &0.into()));
        assert!(server.mails().is_empty());
    }
}

#[tokio::test]
async fn one_address_that_a_server_puts_off_or_rejects_holds_up_no_other_email() {
    let setting = Setting::new(Engine::MySql).await;
    let server = MailServer::new().start().await;
    let service = smtp_service(&setting, &plain_url(&server)).start().await;
    let put_off = ["451@example.com", "greylisted@example.com", "j\u{fc}rgen@example.com"];
    let rejected = ["550@example.com", "554@example.com"];
    let bad: Vec<_> = put_off.iter().chain(&rejected).map(|address| Published::created_by(address)).collect();
    let good: Vec<_> = (0..20).map(|_| Published::created()).collect();
    setting.publish(&bad.iter().chain(&good).collect::<Vec<_>>()).await;
    for event in &good {
        until_email_is(&service, event, "sent").await;
    }
    // The delay before the next attempt is drawn from zero on, so a second may have followed the first at once.
    for event in &bad[..put_off.len()] {
        eventually("an attempt is spent", async || email(&service, event).await["attempts"].as_u64() >= Some(1)).await;
    }
    for address_for_good in [&bad[0], &bad[2]] {
        assert_eq!(email(&service, address_for_good).await["state"], "pending");
    }
    for event in &bad[put_off.len()..] {
        until_email_is(&service, event, "dead").await;
        assert_eq!(email(&service, event).await["attempts"], 1);
    }
    assert_eq!(metric(&service, r#"effect_attempts_total{outcome="put_off",queue="emails"}"#).await, 0.0);
    // Half a minute may pass until the next attempt: let it be due now.
    sqlx::query("UPDATE effect SET next_attempt_at = UTC_TIMESTAMP(6) WHERE next_attempt_at IS NOT NULL")
        .execute(&setting.pool)
        .await
        .unwrap();
    until_email_is(&service, &bad[1], "sent").await;
    assert_eq!(server.mails().len(), 21);
}

#[tokio::test]
async fn a_server_that_rejects_all_addresses_kills_none_until_another_email_goes_through() {
    let setting = Setting::new(Engine::MySql).await;
    let server = MailServer::new().start().await;
    let service = smtp_service(&setting, &plain_url(&server)).start().await;
    let bad = ["550@example.com", "551@example.com", "553@example.com", "554@example.com"].map(Published::created_by);
    setting.publish(&bad.each_ref()).await;
    eventually("it is told", async || metric(&service, r#"effect_up{queue="emails"}"#).await == 0.0).await;
    for event in &bad {
        assert_eq!(email(&service, event).await["state"], "pending");
    }
    let good = Published::created();
    setting.publish(&[&good]).await;
    until_email_is(&service, &good, "sent").await;
    for event in &bad {
        until_email_is(&service, event, "dead").await;
    }
    assert_eq!(server.mail().recipients, ["ada@example.com"]);
}
