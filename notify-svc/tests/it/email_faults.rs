//! Servers that are slow, hang, hang up, refuse us or talk nonsense: whose fault it is, and who goes on.

use std::collections::HashMap;
use std::time::Duration;

use effect::{SLOW_MAX, UNDER_WAY_MAX};
use sqlx::AssertSqlSafe;
use stack::recipients::ADA;
use stack::smtp::{Fault, SmtpServer, Stage};
use stack::testing::{Service, eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, metric, to, whose};

const LATE: Duration = Duration::from_millis(2500);

/// Limits that a test can wait for.
pub(crate) fn smtp_service(setting: &Setting, server: &SmtpServer) -> Service {
    let service = setting.service().env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", server.url());
    service.env("SMTP_REPLY_TIMEOUT", "1s").env("SMTP_FINAL_TIMEOUT", "1500ms").env("EMAIL_RATE_MAX", "1000")
}

pub(crate) async fn server() -> SmtpServer {
    let mut server = SmtpServer::new();
    server.start().await.unwrap();
    server
}

pub(crate) async fn count(setting: &Setting, condition: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM notifications_text WHERE {condition}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&setting.pool).await.unwrap()
}

pub(crate) async fn until(setting: &Setting, condition: &str, emails: i64) {
    let what = format!("{emails} emails with {condition}");
    eventually_within(Duration::from_secs(60), &what, async || count(setting, condition).await == emails).await;
}

/// The same while all that wait are due, again and again.
pub(crate) async fn until_when_due(setting: &Setting, condition: &str, emails: i64) {
    let what = format!("{emails} emails with {condition}, all being due");
    eventually(&what, async || {
        all_due(setting).await;
        count(setting, condition).await == emails
    })
    .await;
}

/// Those that are under way stay so. Locks rows in another order than the service, and gives way to it.
pub(crate) async fn all_due(setting: &Setting) {
    // A statement that finds nothing to change locks what it looked at all the same, and a claim passes over that.
    if count(setting, "state = 'pending' AND claimed_by IS NULL AND next_attempt_at > UTC_TIMESTAMP(6)").await == 0 {
        return;
    }
    let due = "UPDATE effect SET next_attempt_at = UTC_TIMESTAMP(6) WHERE state = 'pending' AND claimed_by IS NULL";
    let is_deadlock =
        |error: &sqlx::Error| error.as_database_error().is_some_and(|error| error.code() == Some("40001".into()));
    while let Err(error) = sqlx::query(due).execute(&setting.pool).await {
        assert!(is_deadlock(&error), "{error}");
    }
}

/// By an hour, as far as leases go.
async fn clock_steps_ahead(setting: &Setting) {
    let step = "UPDATE effect SET next_attempt_at = next_attempt_at - INTERVAL 1 HOUR WHERE state = 'pending'";
    sqlx::query(step).execute(&setting.pool).await.unwrap();
}

fn mails_to(server: &SmtpServer, recipient: &str) -> usize {
    server.mails().iter().filter(|mail| mail.recipients == [recipient]).count()
}

pub(crate) async fn is_up(service: &Service) -> bool {
    metric(service, r#"effect_up{queue="emails"}"#).await == 1.0
}

both_engines! {
    async fn an_address_at_which_the_server_fails_holds_up_no_other_email_and_pays(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        let service = smtp_service(&setting, &server).env("EMAIL_ATTEMPTS_MAX", "1").start().await;
        let faults = [("421@example.com", Fault::Say("421 4.3.2 going down")), ("hang@example.com", Fault::Hang), ("cut@example.com", Fault::HangUp)];
        for (number, (bad, fault)) in (1..).zip(faults) {
            server.fail_for(bad, Stage::Rcpt, fault);
            let mut events: Vec<_> = (0..50).map(|_| Published::created_by(bad)).collect();
            events.push(Published::created());
            setting.publish(&events.iter().collect::<Vec<_>>()).await;
            until(&setting, "state = 'sent'", 2 * number - 1).await;
            let failed = format!("{} AND put_off > 0", to(bad));
            let under_way = format!("{} AND claimed_by IS NOT NULL", to(bad));
            // The next one shows whose fault it is only if it begins after the last of them has failed.
            eventually("those that were tried failed", async || {
                count(&setting, &failed).await > 0 && count(&setting, &under_way).await == 0
            })
            .await;
            setting.publish(&[&Published::created()]).await;
            until(&setting, "state = 'sent'", 2 * number).await;
            let paid = format!("{} AND state = 'dead'", to(bad));
            let what = format!("the fault is found to be that of {bad}");
            eventually_within(Duration::from_secs(30), &what, async || count(&setting, &paid).await > 0).await;
            sqlx::query("UPDATE effect SET state = 'dead' WHERE state = 'pending'").execute(&setting.pool).await.unwrap();
        }
        assert_eq!(mails_to(&server, "ada@example.com"), 6);
        setting.publish(&[&Published::created()]).await;
        eventually("another one shows that the server is up", async || is_up(&service).await).await;
    }

    async fn emails_that_a_stepped_clock_left_in_the_future_are_sent(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut server = SmtpServer::new();
        let service = smtp_service(&setting, &server).start().await;
        let events: Vec<_> = (0..21).map(|_| Published::created()).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        setting.until_count("notifications", 21).await;
        // As a clock that was an hour ahead writes them: new ones, one that was refused, one whose sender then died.
        for (emails, of_what) in [(21, "attempts = 0"), (1, "attempts = 3"), (1, "claimed_by = 'gone'")] {
            let ahead = format!(
                "UPDATE effect SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, {of_what}
                 ORDER BY next_attempt_at LIMIT {emails}"
            );
            sqlx::query(AssertSqlSafe(ahead)).execute(&setting.pool).await.unwrap();
        }
        server.start().await.unwrap();
        until(&setting, "state = 'sent'", 21).await;
        assert_eq!(server.mails().len(), 21);
        drop(service);
    }

    async fn an_email_whose_lease_a_stepped_clock_ends_is_sent_by_nobody_else(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        server.fail(Stage::Dot, Fault::Late(Duration::from_secs(8)));
        let service = |setting: &Setting| smtp_service(setting, &server).env("SMTP_FINAL_TIMEOUT", "2m");
        let (_one, _other) = (service(&setting).start().await, service(&setting).start().await);
        setting.publish(&[&Published::created()]).await;
        eventually("the server has it", async || server.mails().len() == 1).await;
        clock_steps_ahead(&setting).await;
        until(&setting, "state = 'sent' AND attempts = 1", 1).await;
        assert_eq!(server.mails().len(), 1);
    }

    async fn a_sender_whose_email_another_has_sent_meanwhile_sends_nothing(engine: Engine) {
        let setting = Setting::new(engine).await;
        let server = server().await;
        server.fail(Stage::Data, Fault::Late(Duration::from_secs(8)));
        let service = |setting: &Setting| smtp_service(setting, &server).env("SMTP_REPLY_TIMEOUT", "2m");
        let mut one = service(&setting).start().await;
        setting.publish(&[&Published::created()]).await;
        until(&setting, "claimed_by IS NOT NULL", 1).await;
        one.freeze();
        let mut other = service(&setting).start().await;
        server.heal();
        clock_steps_ahead(&setting).await;
        until(&setting, "claimed_by IS NULL", 1).await;
        clock_steps_ahead(&setting).await;
        until(&setting, "state = 'sent' AND attempts = 1", 1).await;
        one.thaw();
        eventually("it gives the email up", async || one.log().contains("effect's lease was lost")).await;
        assert_eq!(server.mails().len(), 1);
        assert!(other.terminate().await.success());
    }
}

/// Each stage is late in its turn, for one recipient or, before one is named, for all, while others are sent or refused.
#[tokio::test]
async fn an_answer_that_comes_too_late_is_read_by_no_other_email() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let mut service = smtp_service(&setting, &server).start().await;
    server.fail_for("refused@example.com", Stage::Dot, Fault::Say("451 4.6.0 not now"));
    let stages = [Stage::Greeting, Stage::Hello, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot];
    for (round, stage) in (1..).zip(stages) {
        let slow = format!("slow{round}@example.com");
        if matches!(stage, Stage::Greeting | Stage::Hello) {
            // Connections of the round before would be used.
            assert!(service.terminate().await.success());
            service.restart().await;
        }
        let is_for_one = matches!(stage, Stage::Rcpt | Stage::Data | Stage::Dot);
        if is_for_one {
            server.fail_for(&slow, stage, Fault::Late(LATE));
        } else {
            server.fail(stage, Fault::Late(LATE));
        }
        let mut events: Vec<_> = (0..6).map(|n| Published::created_by(&format!("good{n}@example.com"))).collect();
        events.insert(2, Published::created_by(&slow));
        events.insert(4, Published::created_by("refused@example.com"));
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        if !is_for_one {
            eventually("the slow server was given up", async || {
                count(&setting, "last_error LIKE '%no answer in time%'").await > 0
            })
            .await;
            server.heal();
            server.fail_for("refused@example.com", Stage::Dot, Fault::Say("451 4.6.0 not now"));
        }
        let good = whose(|address| address.starts_with("good"));
        until(&setting, &format!("{good} AND state = 'sent'"), 6 * round).await;
        let refused = format!("{} AND state = 'pending' AND attempts > 0", to("refused@example.com"));
        until(&setting, &refused, round).await;
    }
    assert_eq!(count(&setting, "state = 'dead'").await, 0);
    assert_eq!(mails_to(&server, "refused@example.com"), 0);
    server.heal();
    until_when_due(&setting, "state = 'sent'", 48).await;
    let mut copies: HashMap<String, usize> = HashMap::new();
    for mail in server.mails() {
        *copies.entry(mail.header("Message-ID").to_owned()).or_default() += 1;
    }
    let twice = copies.values().filter(|copies| **copies > 1).count();
    assert_eq!(copies.len(), 48);
    assert!(twice <= 1, "only the one that had no answer after its final dot may have come twice: {copies:?}");
}

#[tokio::test]
async fn a_slow_server_within_the_limits_gets_each_email_once() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let _service = smtp_service(&setting, &server).start().await;
    for stage in [Stage::Greeting, Stage::Hello, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot] {
        server.fail(stage, Fault::Late(Duration::from_millis(200)));
    }
    let events: Vec<_> = (0..10).map(|_| Published::created()).collect();
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    until(&setting, "state = 'sent' AND attempts = 1", 10).await;
    assert_eq!(server.mails().len(), 10);
}

#[tokio::test]
async fn what_a_server_says_about_us_waits_is_told_and_spends_nothing() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let mut service = smtp_service(&setting, &server).env("EMAIL_ATTEMPTS_MAX", "1").start().await;
    let faults = [
        (Stage::Greeting, Fault::Say("554 5.7.1 no service for you")),
        (Stage::Greeting, Fault::Say("451 4.3.2 try later")),
        (Stage::Hello, Fault::Say("550 5.7.1 helo name rejected")),
        (Stage::Mail, Fault::Say("550 5.7.1 sender not allowed")),
        (Stage::Mail, Fault::Say("552 5.2.2 quota of the relay exceeded")),
        (Stage::Mail, Fault::HangUp),
        (Stage::Rcpt, Fault::Say("550 5.4.5 daily user sending quota exceeded")),
        (Stage::Rcpt, Fault::Say("554 5.7.1 relay access denied")),
        (Stage::Rcpt, Fault::Say("452 4.3.1 insufficient system storage")),
        (Stage::Rcpt, Fault::Hang),
        (Stage::Data, Fault::Say("421 4.7.0 try again later")),
        (Stage::Dot, Fault::Say("552 relay quota exceeded")),
        (Stage::Dot, Fault::Say("421 4.3.0 shutting down")),
    ];
    for (round, (stage, fault)) in (1..).zip(faults) {
        server.fail(stage, fault);
        if matches!(stage, Stage::Greeting | Stage::Hello) {
            // Connections of the round before would be used.
            assert!(service.terminate().await.success());
            service.restart().await;
        }
        let events: Vec<_> = (0..3).map(|n| Published::created_by(&format!("{round}.{n}@example.com"))).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        eventually(&format!("{stage:?} {fault:?} is told"), async || !is_up(&service).await).await;
        let reason = "state = 'pending' AND attempts = 0 AND last_error IS NOT NULL";
        eventually("the reason is kept", async || count(&setting, reason).await > 0).await;
        assert_eq!(count(&setting, "state = 'dead'").await, 0, "{stage:?} {fault:?}");
        server.heal();
        eventually_within(Duration::from_secs(60), &format!("sent after {stage:?} {fault:?}"), async || {
            all_due(&setting).await;
            count(&setting, "state = 'sent'").await == 3 * round
        })
        .await;
        assert!(is_up(&service).await);
    }
    assert_eq!(server.mails().len(), 39);
}

#[tokio::test]
async fn no_answer_after_the_final_dot_spends_an_attempt_and_is_repeated_with_the_same_message_id() {
    for fault in [Fault::Hang, Fault::HangUp] {
        let setting = Setting::new(Engine::MySql).await;
        let server = server().await;
        let service = smtp_service(&setting, &server).start().await;
        server.fail(Stage::Dot, fault);
        setting.publish(&[&Published::created()]).await;
        until(&setting, "state = 'pending' AND attempts = 1 AND last_error LIKE '%final dot%'", 1).await;
        assert_eq!(metric(&service, r#"effect_attempts_total{outcome="unknown",queue="emails"}"#).await, 1.0);
        server.heal();
        all_due(&setting).await;
        until(&setting, "state = 'sent' AND attempts = 2", 1).await;
        let [first, second] = &server.mails()[..] else { panic!("{:?}", server.mails()) };
        assert_eq!(first, &stack::smtp::Mail { begun_at: first.begun_at, ..second.clone() });
    }
}

/// With every limit at its default the ones that hang are given up after minutes.
#[tokio::test]
async fn emails_that_hang_leave_room_for_others_long_before_they_are_given_up() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    server.fail_for("hang@example.com", Stage::Dot, Fault::Hang);
    let _service = setting.service().env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", server.url()).start().await;
    let mut events: Vec<_> = (0..50).map(|_| Published::created_by("hang@example.com")).collect();
    events.extend((0..20).map(|_| Published::created()));
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    until(&setting, &format!("{} AND state = 'sent'", to(ADA)), 20).await;
    assert!(mails_to(&server, "hang@example.com") <= UNDER_WAY_MAX + SLOW_MAX);
}

/// Longer than a lease lasts that is not prolonged.
#[tokio::test]
async fn an_email_that_is_under_way_for_longer_than_its_lease_has_one_sender() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    server.fail(Stage::Dot, Fault::Late(Duration::from_secs(34)));
    let service = |setting: &Setting| smtp_service(setting, &server).env("SMTP_FINAL_TIMEOUT", "2m");
    let (_one, _other) = (service(&setting).start().await, service(&setting).start().await);
    setting.publish(&[&Published::created()]).await;
    until(&setting, "state = 'sent' AND attempts = 1", 1).await;
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn the_name_in_ehlo_is_a_setting_and_else_our_own_address() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let mut service = smtp_service(&setting, &server).start().await;
    setting.publish(&[&Published::created()]).await;
    until(&setting, "state = 'sent'", 1).await;
    assert!(service.terminate().await.success());
    let _named = smtp_service(&setting, &server).env("SMTP_EHLO_NAME", "mail.example.com").start().await;
    setting.publish(&[&Published::created()]).await;
    until(&setting, "state = 'sent'", 2).await;
    assert_eq!(server.names(), ["[127.0.0.1]", "mail.example.com"]);
}

#[tokio::test]
async fn odd_answers_are_understood_or_end_the_dialogue() {
    let setting = Setting::new(Engine::MySql).await;
    let server = server().await;
    let _service = smtp_service(&setting, &server).start().await;
    let long: &'static str = Box::leak(format!("250 {}", "x".repeat(100_000)).into_boxed_str());
    let endless: &'static str = Box::leak("250-and so on\r\n".repeat(60_000).into_boxed_str());
    let understood = [
        ("lines@example.com", Stage::Dot, "250-first\r\n250-second\r\n250 last"),
        ("bare@example.com", Stage::Rcpt, "250-first\n250 last\n"),
        ("bare-code@example.com", Stage::Rcpt, "250"),
        ("long@example.com", Stage::Dot, long),
        // The second answer is one to nothing, and must not be taken for one to the next email.
        ("two@example.com", Stage::Dot, "250 taken\r\n451 4.3.0 odd"),
    ];
    let nonsense = [
        ("garbage@example.com", Stage::Rcpt, "hello"),
        ("endless@example.com", Stage::Rcpt, endless),
        ("accepts@example.com", Stage::Data, "250 no need to send it"),
    ];
    for (recipient, stage, said) in understood.iter().chain(&nonsense) {
        server.fail_for(recipient, *stage, Fault::Say(said));
    }
    let events: Vec<_> =
        understood.iter().chain(&nonsense).map(|(recipient, ..)| Published::created_by(recipient)).collect();
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
    until(&setting, "state = 'sent' AND attempts = 1", 5).await;
    for _ in 0..10 {
        setting.publish(&[&Published::created()]).await;
    }
    until(&setting, &format!("{} AND state = 'sent' AND attempts = 1", to(ADA)), 10).await;
    until(&setting, "state = 'pending' AND last_error IS NOT NULL", 3).await;
    assert_eq!(server.mails().len(), 15);
}
