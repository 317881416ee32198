//! Secrets: from the environment or from files, and never on any output.

use std::path::PathBuf;

use schema::database::{NOTIFICATIONS, ORDERS};
use sqlx::{AssertSqlSafe, Executor};
use stack::Engine;
use stack::server::{NATS_USERS, NatsSetup};
use stack::testing::{Database, MySql, Nats, Service, binary, eventually};
use tempfile::TempDir;

use crate::services::{Services, run};

/// What all secrets here have in them.
const MARK: &str = "hunter2";

const PROGRAMS: [(&str, &[&str]); 3] = [
    ("order-svc", &["", "run", "migrate"]),
    ("outbox-relay", &["", "run", "status", "event", "subject", "stream"]),
    ("notify-svc", &["", "run", "migrate", "status", "message", "gap", "inbox"]),
];

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

async fn admin_pages(service: &Service) -> String {
    let mut pages = String::new();
    for page in ["/livez", "/readyz", "/metrics", "/"] {
        pages += &reqwest::get(service.admin_url(page)).await.unwrap().text().await.unwrap();
    }
    pages
}

#[tokio::test]
async fn secrets_are_read_from_files() {
    let orders = Database::create(Engine::MySql, &ORDERS).await;
    let nats = Nats::start_with_accounts().await;
    let folder = tempfile::tempdir().unwrap();
    let url = file(&folder, "url", &format!("{}\n", orders.url("order_svc")));
    let password = file(&folder, "password", Nats::PASSWORD);
    let service = Service::new(binary("order-svc"))
        .env("DATABASE_URL_FILE", url.to_str().unwrap())
        .env("NATS_URL", nats.url())
        .env("NATS_USER", "order-svc")
        .env("NATS_PASSWORD_FILE", password.to_str().unwrap());
    let service = service.start().await;
    eventually("NATS knows it", async || service.log().contains("connected to NATS")).await;
}

#[test]
fn a_secret_that_can_not_be_read_ends_with_64_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, empty) = (file(&folder, "sound", "mysql://u:hunter2@h/d"), file(&folder, "empty", "\n"));
    let (sound, empty) = (sound.to_str().unwrap(), empty.to_str().unwrap());
    let url = ("DATABASE_URL", "mysql://u:hunter2@h/d");
    let cases = [
        (
            vec![("DATABASE_URL_FILE", "/nowhere/at/all")],
            "DATABASE_URL_FILE: cannot read /nowhere/at/all: No such file",
        ),
        (vec![("DATABASE_URL_FILE", empty)], "is empty"),
        (vec![url, ("DATABASE_URL_FILE", sound)], "DATABASE_URL and DATABASE_URL_FILE are both set"),
        (vec![url, ("NATS_PASSWORD", "hunter2")], "NATS_PASSWORD needs NATS_USER"),
        (vec![url, ("NATS_PASSWORD_FILE", sound)], "NATS_PASSWORD needs NATS_USER"),
        (
            vec![url, ("NATS_CREDS_FILE", "/nowhere/at/all")],
            "NATS_CREDS_FILE: cannot read /nowhere/at/all: No such file",
        ),
        (vec![url, ("NATS_CREDS_FILE", sound)], "NATS_CREDS is malformed: it must hold the JWT of a user and the seed"),
        (vec![url, ("NATS_NKEY_FILE", sound)], "NATS_NKEY is malformed: it must be the seed of a user's NKEY"),
        (vec![url, ("NATS_TOKEN", "hunter2"), ("NATS_NKEY_FILE", sound)], "NATS_TOKEN and NATS_NKEY are both set"),
    ];
    let rest = [
        ("NATS_URL", "nats://h"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("EMAIL_TRANSPORT", "log"),
        ("ORDERS_URL", "http://h"),
    ];
    for (program, _) in PROGRAMS {
        for (environment, reason) in &cases {
            let output = run(program, &["run"], &[environment, &rest[..]].concat());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{program}: {said}");
            assert!(said.starts_with("error: ") && said.contains(reason) && !said.contains(MARK), "{program}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        let output = run(program, &["run", "--help"], &[("DATABASE_URL_FILE", "/nowhere/at/all")]);
        assert_eq!(output.status.code(), Some(0), "whoever needs the help gets it");
    }
}

/// Each of these fails for want of a database, not for want of a secret that only `run` needs.
#[test]
fn a_secret_that_can_not_be_read_stops_no_verb_that_does_not_need_it() {
    let url = ("DATABASE_URL", "mysql://u:hunter2@127.0.0.1:1/d");
    let unreadable = ["NATS_URL_FILE", "NATS_PASSWORD_FILE", "SMTP_URL_FILE", "ORDERS_TOKEN_FILE"]
        .map(|name| (name, "/nowhere/at/all"));
    let verbs: [(&str, &[&str]); 6] = [
        ("order-svc", &["migrate"]),
        ("outbox-relay", &["status"]),
        ("outbox-relay", &["event", "list"]),
        ("notify-svc", &["gap", "list"]),
        ("notify-svc", &["message", "list"]),
        ("notify-svc", &["inbox", "show", "0198b4e6-5c3a-7d52-9e1f-3f2b8c6d4a10"]),
    ];
    for (program, verb) in verbs {
        let timeout = ("DATABASE_ACQUIRE_TIMEOUT", "100ms");
        let output = run(program, verb, &[&[url, timeout], &unreadable[..]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{program} {verb:?}: {said}");
        assert!(!said.contains("_FILE"), "{program} {verb:?}: {said}");

        let output = run(program, verb, &[("DATABASE_URL_FILE", "/nowhere/at/all")]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{program} {verb:?}: {said}");
        assert!(said.starts_with("error: DATABASE_URL_FILE: cannot read"), "{program} {verb:?}: {said}");
    }
}

#[test]
fn help_and_errors_show_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let in_file = file(&folder, "url", "mysql://u:hunter2@127.0.0.1:1/d");
    let rest = [
        ("NATS_URL", "nats://u:hunter2@127.0.0.1:1"),
        ("NATS_USER", "u"),
        ("NATS_PASSWORD", "hunter2"),
        ("SMTP_URL", "smtp://u:hunter2@127.0.0.1:1"),
        ("ORDERS_URL", "http://127.0.0.1:1"),
        ("ORDERS_TOKEN", "hunter2"),
        ("EMAIL_TRANSPORT", "smtp"),
        ("DATABASE_ACQUIRE_TIMEOUT", "100ms"),
    ];
    for (program, verbs) in PROGRAMS {
        for verb in verbs {
            for database in [
                ("DATABASE_URL", "mysql://u:hunter2@127.0.0.1:1/d"),
                ("DATABASE_URL", "mysql://u:hunter2@127.0.0.1:port/d"),
                ("DATABASE_URL", "hunter2"),
                ("DATABASE_URL_FILE", in_file.to_str().unwrap()),
            ] {
                let environment = [&[database], &rest[..]].concat();
                // Without its addresses, `run` ends at once; other verbs give up soon.
                for arguments in [vec![*verb, "--help"], vec![*verb], vec![*verb, "--nonsense"]] {
                    let arguments: Vec<&str> = arguments.into_iter().filter(|argument| !argument.is_empty()).collect();
                    let output = run(program, &arguments, &environment);
                    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
                    assert!(!said.is_empty() && !said.contains(MARK), "{program} {arguments:?}: {said}");
                }
            }
        }
    }
}

#[tokio::test]
async fn services_at_work_show_no_secret_however_much_they_log() {
    let server = MySql::start(Engine::MySql).await;
    let orders = Database::create_on(&server, &ORDERS).await;
    let notifications = Database::create_on(&server, &NOTIFICATIONS).await;
    for user in ["order_svc", "outbox_relay", "notify_svc"] {
        let statement = format!("ALTER USER '{user}'@'%' IDENTIFIED BY '{MARK}database'");
        orders.admin_pool().await.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let accounts = NATS_USERS.iter().map(|user| (*user, format!("{MARK}nats"))).collect();
    let nats = Nats::start_with(NatsSetup { accounts, ..NatsSetup::default() }).await;
    let nats_url = nats.url().replace("nats://", &format!("nats://somebody:{MARK}url@"));
    let secret = |url: String| url.replace(&format!(":{}@", Database::PASSWORD), &format!(":{MARK}database@"));
    let right = Services::new(|user| secret(orders.url(user)), |user| secret(notifications.url(user)), &nats_url)
        .env("NATS_PASSWORD", &format!("{MARK}nats"));
    // Everything is refused or away.
    let wrong = Services::new(
        |user| format!("mysql://{user}:{MARK}database@127.0.0.1:1/nothing"),
        |user| format!("mysql://{user}:{MARK}database@127.0.0.1:1/nothing"),
        &nats_url,
    )
    .env("NATS_PASSWORD", &format!("{MARK}wrong"));
    let mail = |services: Services| {
        let services = services.env("LOG_FILTER", "trace").env("EMAIL_TRANSPORT", "smtp");
        services.env("SMTP_URL", &format!("smtp://shop:{MARK}mail@127.0.0.1:1"))
    };
    let (right, mut wrong) = (mail(right).start().await, mail(wrong));
    for service in wrong.each() {
        service.spawn();
    }
    let order = right.place().await;
    right.until_notified(&order).await;
    for services in [right, wrong] {
        for service in [&services.order_svc, &services.relay, &services.notify_svc] {
            eventually("the admin port answers", async || reqwest::get(service.admin_url("/livez")).await.is_ok())
                .await;
            let said = admin_pages(service).await + service.log().as_str();
            let shown: Vec<&str> = said.lines().filter(|line| line.contains(MARK)).collect();
            assert!(shown.is_empty(), "{shown:#?}");
        }
    }
}
