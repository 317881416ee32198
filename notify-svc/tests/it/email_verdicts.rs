//! Whose fault a refusal is: other emails tell, and what several are refused for kills none of them.

use std::collections::HashMap;
use std::time::Duration;

use stack::Engine;
use stack::recipients::ADA;
use stack::smtp::{Fault, Stage};
use stack::testing::{eventually, eventually_within};

use crate::email_faults::{all_due, count, is_up, server, smtp_service, until};
use crate::setting::{Published, Setting, to};

const A_WHILE: Duration = Duration::from_secs(60);

/// So many orders, each of another customer.
async fn publish_unlike(setting: &Setting, orders: usize) {
    let events: Vec<_> = (0..orders).map(|n| Published::created_by(&format!("{n}@example.com"))).collect();
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    setting.until_count("notifications", i64::try_from(orders).unwrap()).await;
}

#[tokio::test]
async fn what_a_server_refuses_everybody_for_kills_nothing() {
    let refusals = [
        (Stage::Rcpt, "550 5.1.1 no such user"),
        (Stage::Rcpt, "550 no relaying here"),
        (Stage::Rcpt, "451 4.7.1 try again later"),
        (Stage::Dot, "554 5.7.1 looks like spam"),
        (Stage::Dot, "550 5.6.0 malformed"),
    ];
    for (stage, refusal) in refusals {
        let setting = Setting::new(Engine::MySql).await;
        let server = server().await;
        let service = smtp_service(&setting, &server).env("EMAIL_ATTEMPTS_MAX", "2").start().await;
        server.fail(stage, Fault::Say(refusal));
        publish_unlike(&setting, 20).await;
        eventually_within(A_WHILE, &format!("{refusal} is told"), async || {
            all_due(&setting).await;
            !is_up(&service).await && count(&setting, "put_off > 0").await >= 4
        })
        .await;
        assert_eq!(count(&setting, "state = 'dead'").await, 0, "{refusal}");
        server.heal();
        eventually_within(A_WHILE, &format!("all are sent after {refusal}"), async || {
            all_due(&setting).await;
            count(&setting, "state = 'sent'").await == 20
        })
        .await;
        assert!(is_up(&service).await);
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_its_own_fault_once_another_email_went_through() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let service = smtp_service(&setting, &server).start().await;
    server.fail_for("gone@example.com", Stage::Rcpt, Fault::Say("550 5.1.1 no such user"));
    server.fail_for("spam@example.com", Stage::Dot, Fault::Say("554 5.7.1 looks like spam"));
    setting.publish(&[&Published::created_by("gone@example.com"), &Published::created_by("spam@example.com")]).await;
    until(&setting, "state = 'pending' AND put_off > 0", 2).await;
    eventually("two that fail are told", async || !is_up(&service).await).await;
    setting.publish(&[&Published::created()]).await;
    until(&setting, "state = 'sent'", 1).await;
    until(&setting, "state = 'dead' AND attempts = 1", 2).await;
    // Whoever is known to send such content waits for nobody any more.
    setting.publish(&[&Published::created_by("spam@example.com")]).await;
    until(&setting, "state = 'dead' AND attempts = 1", 3).await;
    assert!(is_up(&service).await);
}

#[tokio::test]
async fn a_server_that_greylists_everybody_gets_each_email_later() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let service = smtp_service(&setting, &server).start().await;
    server.fail(Stage::Rcpt, Fault::Say("450 4.7.1 greylisted"));
    publish_unlike(&setting, 10).await;
    until(&setting, "state = 'pending' AND attempts = 1", 10).await;
    assert!(is_up(&service).await);
    server.heal();
    all_due(&setting).await;
    until(&setting, "state = 'sent' AND attempts = 2", 10).await;
    assert_eq!(server.mails().len(), 10);
}

#[tokio::test]
async fn a_server_that_drops_each_connection_before_its_last_answer_gets_as_many_copies_as_attempts() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let service = smtp_service(&setting, &server).start().await;
    server.fail(Stage::Dot, Fault::HangUp);
    publish_unlike(&setting, 20).await;
    eventually("it is told", async || !is_up(&service).await).await;
    server.heal();
    eventually_within(A_WHILE, "all are sent", async || {
        all_due(&setting).await;
        count(&setting, "state = 'sent'").await == 20
    })
    .await;
    let mut copies: HashMap<String, usize> = HashMap::new();
    for mail in server.mails() {
        *copies.entry(mail.recipients[0].clone()).or_default() += 1;
    }
    for (recipient, copies) in copies {
        assert_eq!(count(&setting, &format!("{} AND attempts = {copies}", to(&recipient))).await, 1);
    }
}

/// The limits are such that it would hold up the others for longer than this test waits.
#[tokio::test]
async fn a_probe_that_hangs_leaves_it_to_the_next_to_tell_how_the_server_is() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let _service = smtp_service(&setting, &server).env("SMTP_REPLY_TIMEOUT", "5m").start().await;
    server.fail_for("421@example.com", Stage::Rcpt, Fault::Say("421 4.3.2 going down"));
    server.fail_for("hang@example.com", Stage::Rcpt, Fault::Hang);
    setting.publish(&[&Published::created_by("421@example.com")]).await;
    until(&setting, "put_off > 0", 1).await;
    setting.publish(&[&Published::created_by("hang@example.com")]).await;
    until(&setting, &format!("{} AND claimed_by IS NOT NULL", to("hang@example.com")), 1).await;
    let events: Vec<_> = (0..5).map(|_| Published::created()).collect();
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    until(&setting, &format!("{} AND state = 'sent'", to(ADA)), 5).await;
}
