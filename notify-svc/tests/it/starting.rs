//! Starting: what the service waits for, what it refuses, and with which status it ends.

use std::process::{Command, Output};

use sqlx::Connection;
use stack::testing::{Database, eventually};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting};

fn notify_svc(verb: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notify-svc"));
    command.arg(verb).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
}

fn run(setting: &Setting, change: (&str, &str)) -> (Option<i32>, String) {
    let (database, nats) = (setting.database.url("notify_svc"), setting.nats.url());
    let mut environment = vec![
        ("DATABASE_URL", database.as_str()),
        ("NATS_URL", nats.as_str()),
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("EMAIL_TRANSPORT", "log"),
        ("ORDERS_URL", "http://127.0.0.1:1"),
    ];
    environment.retain(|(name, _)| *name != change.0);
    environment.push(change);
    let output = notify_svc("run", &environment);
    let said = [output.stderr, output.stdout].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn settings_that_cannot_work_end_with_64_and_one_line() {
    let setting = Setting::new(Engine::MySql).await;
    for (change, line) in [
        (("EMAIL_TRANSPORT", "smtp"), "error: EMAIL_TRANSPORT=smtp needs SMTP_URL\n"),
        (("ORDERS_URL", "orders"), "error: ORDERS_URL must look like"),
        (("ORDERS_TOKEN", "two words"), "error: ORDERS_TOKEN has characters that no token has\n"),
        (("ACK_WAIT", "1s"), "error: ACK_WAIT 1s is too short"),
        (("BATCH_SIZE_MAX", "0"), "error: invalid value '0'"),
        (("LOG_FILTER", "=="), "error: LOG_FILTER: "),
        (("NATS_URL", "nats://a b"), "error: NATS_URL is malformed: "),
        (("DATABASE_URL", "nonsense"), "error: DATABASE_URL is malformed: "),
        (
            ("DATABASE_URL", "postgres://u:hunter2@h/d"),
            "error: DATABASE_URL is malformed: it must begin with mysql://\n",
        ),
    ] {
        let (status, said) = run(&setting, change);
        assert_eq!(status, Some(64), "{said}");
        assert!(said.starts_with(line), "{said}");
    }
}

#[tokio::test]
async fn a_start_that_cannot_succeed_ends_with_1_and_says_why() {
    let setting = Setting::new(Engine::MySql).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let wrong_password = setting.database.url("notify_svc").replace(":test@", ":wrong@");
    for (change, reason) in [
        (("HTTP_ADDR", taken.as_str()), "listening on 127.0.0.1"),
        (("DATABASE_URL", wrong_password.as_str()), "connecting to the database"),
    ] {
        let (status, said) = run(&setting, change);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(!said.contains(":wrong@"), "{said}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_ends_the_start() {
    let setting = Setting::new(Engine::MySql).await;
    let mut service = setting.service().env("EMAIL_DIR", "/dev/null/emails");
    service.spawn();
    assert_eq!(service.exited().await.code(), Some(1));
    assert!(service.log().contains("EMAIL_DIR /dev/null/emails is not writable"), "{}", service.log());
}

both_engines! {
    async fn the_service_waits_for_the_stream(engine: Engine) {
        let setting = Setting::without_stream(engine).await;
        let mut service = setting.service();
        service.spawn();
        eventually("the service says what it waits for", async || {
            let ready = reqwest::get(service.admin_url("/readyz")).await;
            match ready {
                Ok(answer) => answer.text().await.unwrap().starts_with("waiting for stream\n"),
                Err(_) => false,
            }
        })
        .await;
        setting.create_stream().await;
        setting.publish(&[&Published::created()]).await;
        service.until_ready().await;
        setting.until_count("notifications", 1).await;
    }

    async fn migrate_brings_an_empty_database_to_the_newest_schema_twice(engine: Engine) {
        let database = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let pool = database.admin_pool().await;
        let mut connection = pool.acquire().await.unwrap();
        for statement in [
            "DROP VIEW inbox_text, effect_text, notifications_text",
            "DROP TABLE suppression, suppression_action, recipient_mails, disclosure, effect, effect_action, inbox_action, inbox_position, inbox_read, inbox_reread",
            "DROP TABLE inbox, inbox_gate, inbox_dead, inbox_skipped, inbox_parked, notifications, _sqlx_migrations",
        ] {
            sqlx::raw_sql(statement).execute(&mut *connection).await.unwrap();
        }
        for _ in 0..2 {
            let output = notify_svc("migrate", &[("DATABASE_URL", &database.admin_url())]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        sqlx::raw_sql("SELECT * FROM notifications_text").execute(&mut *connection).await.unwrap();
        connection.ping().await.unwrap();
    }
}
