//! TLS to the database and to NATS: with the right certificates all works, with a wrong one nothing is said.

use std::path::Path;

use schema::database::{NOTIFICATIONS, ORDERS, PAYMENTS};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};
use stack::server::{NatsSetup, NatsTls};
use stack::testing::{Database, MySql, Nats, Service, binary, eventually};
use stack::{Engine, both_engines};

use crate::authority::{Authority, Flaw, Signed};
use crate::services::{Services, run};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A database server that speaks TLS only.
async fn database_server(engine: Engine, authority: &Authority, flaw: Flaw) -> MySql {
    let Signed { certificate, key } = authority.sign("database", flaw);
    let arguments = [
        format!("--ssl-ca={}", text(&authority.file())),
        format!("--ssl-cert={}", text(&certificate)),
        format!("--ssl-key={}", text(&key)),
        "--require-secure-transport=ON".to_owned(),
    ];
    MySql::start_with(engine, &arguments).await
}

async fn nats_server(authority: &Authority, flaw: Flaw) -> Nats {
    let Signed { certificate, key } = authority.sign("nats", flaw);
    let tls = Some(NatsTls { certificate, key, clients_ca: authority.file() });
    Nats::start_with(NatsSetup { accounts: Nats::accounts(), tls, ..NatsSetup::default() }).await
}

/// Users who have to show a certificate.
async fn demand_certificates(database: &Database, users: &[&str]) {
    let admin = database.admin_pool().await;
    for user in users.iter().filter(|user| !user.ends_with("inspector")) {
        admin.execute(AssertSqlSafe(format!("ALTER USER '{user}'@'%' REQUIRE X509"))).await.unwrap();
    }
}

both_engines! {
    async fn an_order_goes_its_way_by_tls_with_certificates_on_both_sides(engine: Engine) {
        let authority = Authority::new();
        let server = database_server(engine, &authority, Flaw::None).await;
        let orders = Database::create_on(&server, &ORDERS).await;
        let notifications = Database::create_on(&server, &NOTIFICATIONS).await;
        for database in [(&orders, &ORDERS), (&notifications, &NOTIFICATIONS)] {
            demand_certificates(database.0, database.1.users).await;
        }
        let nats = nats_server(&authority, Flaw::None).await;
        let Signed { certificate, key } = authority.sign("client", Flaw::None);
        let mut services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url());
        for server in ["DATABASE", "NATS"] {
            for (kind, path) in [("CA", &authority.file()), ("CERT", &certificate), ("KEY", &key)] {
                services = services.env(&format!("{server}_{kind}_FILE"), text(path));
            }
        }
        let services = services.start().await;
        let order = services.place().await;
        services.until_notified(&order).await;
    }

    async fn users_of_production_come_by_tls_or_not_at_all(engine: Engine) {
        let authority = Authority::new();
        let Signed { certificate, key } = authority.sign("database", Flaw::None);
        let arguments = [("ca", &authority.file()), ("cert", &certificate), ("key", &key)]
            .map(|(name, path)| format!("--ssl-{name}={}", text(path)));
        let server = MySql::start_with(engine, &arguments).await;
        for definition in [&ORDERS, &NOTIFICATIONS, &PAYMENTS] {
            let database = Database::create_on(&server, definition).await;
            let admin = database.admin_pool().await;
            let connect = async |user: &str, mode| {
                let options: MySqlConnectOptions = database.url(user).parse().unwrap();
                let options = options.ssl_mode(mode).ssl_ca(authority.file());
                MySqlConnection::connect_with(&options).await
            };
            for user in definition.users {
                connect(user, MySqlSslMode::Disabled).await.unwrap();
            }
            admin.execute(AssertSqlSafe(definition.require_tls.to_owned())).await.unwrap();
            for user in definition.users {
                let refused = connect(user, MySqlSslMode::Disabled).await.unwrap_err().to_string();
                assert!(refused.contains("Access denied"), "{user}: {refused}");
                connect(user, MySqlSslMode::VerifyCa).await.unwrap();
            }
        }
    }

    async fn a_database_that_can_not_prove_its_name_is_refused(engine: Engine) {
        let (authority, other) = (Authority::new(), Authority::new());
        let mut server = database_server(engine, &authority, Flaw::None).await;
        let database = Database::create_on(&server, &ORDERS).await;
        let refused = |trusted: &Authority, reason: &str| {
            let environment = [("DATABASE_URL", &database.admin_url()), ("DATABASE_CA_FILE", &text(&trusted.file()).to_owned())];
            let output = run("order-svc", &["migrate"], &environment.map(|(name, value)| (name, value.as_str())));
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("connecting to the database") && said.contains(reason), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        };
        refused(&other, "UnknownIssuer");

        // A running service says so, too, waits, and needs no restart when the certificate is fixed.
        authority.sign("database", Flaw::Expired);
        server.stop().await;
        server.restart().await;
        refused(&authority, "certificate expired");
        let mut service = Service::new(binary("order-svc"))
            .env("DATABASE_URL", database.url("order_svc"))
            .env("DATABASE_CA_FILE", text(&authority.file()))
            .env("NATS_URL", "nats://127.0.0.1:1");
        service.spawn();
        eventually("it says why it waits", async || service.log().contains("certificate expired")).await;

        authority.sign("database", Flaw::OfAnother);
        server.stop().await;
        server.restart().await;
        refused(&authority, "not valid for name");

        authority.sign("database", Flaw::None);
        server.stop().await;
        server.restart().await;
        service.until_ready().await;
    }

    async fn a_database_without_tls_is_refused(engine: Engine) {
        let authority = Authority::new();
        let off = match engine {
            Engine::MySql => "--tls-version=",
            Engine::MariaDb => "--skip-ssl",
        };
        let server = MySql::start_with(engine, &[off.to_owned()]).await;
        let environment = [("DATABASE_URL", server.admin_url("mysql")), ("DATABASE_CA_FILE", text(&authority.file()).to_owned())];
        let output = run("order-svc", &["migrate"], &environment.each_ref().map(|(name, value)| (*name, value.as_str())));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("server does not support TLS"), "{said}");
    }
}

#[tokio::test]
async fn a_nats_server_that_can_not_prove_its_name_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let plain = Nats::start_with_accounts().await;
    let sound = nats_server(&authority, Flaw::None).await;
    let expired = nats_server(&authority, Flaw::Expired).await;
    let of_another = nats_server(&authority, Flaw::OfAnother).await;
    let Signed { certificate, key } = authority.sign("client", Flaw::None);
    let cases = [
        (&sound, &other, "UnknownIssuer"),
        (&expired, &authority, "certificate expired"),
        (&of_another, &authority, "not valid for name"),
        (&plain, &authority, "does it speak TLS?"),
    ];
    for (nats, trusted, reason) in cases {
        let service = |name: &str, value: &Path| (name.to_owned(), text(value).to_owned());
        let files = [
            service("NATS_CA_FILE", &trusted.file()),
            service("NATS_CERT_FILE", &certificate),
            service("NATS_KEY_FILE", &key),
        ];
        let mut service = Service::new(binary("order-svc"))
            .env("DATABASE_URL", "mysql://nobody@127.0.0.1:1/nothing")
            .env("NATS_URL", nats.url())
            .env("NATS_USER", "order-svc")
            .env("NATS_PASSWORD", Nats::PASSWORD);
        for (name, value) in files {
            service = service.env(&name, value);
        }
        service.spawn();
        eventually("it says why it can't connect", async || {
            let log = service.log();
            log.lines().any(|line| line.contains("cannot connect to NATS") && line.contains(reason))
        })
        .await;
        assert!(!service.log().contains("connected to NATS"), "{}", service.log());
    }
}

/// Nobody is there: a service says what it is about to do before it does it.
#[tokio::test]
async fn a_service_warns_once_of_a_connection_that_can_be_overheard() {
    let (authority, elsewhere) = (Authority::new(), ("mysql://u@db.invalid/d", "nats://nats.invalid:4222"));
    let authority = authority.file();
    let cases = [
        (elsewhere, None, 1),
        (elsewhere, Some(text(&authority)), 0),
        (("mysql://u@127.0.0.1:1/d", "nats://localhost:1"), None, 0),
        (("mysql://u@db.invalid/d?ssl-mode=REQUIRED", "tls://nats.invalid:4222"), None, 0),
    ];
    for program in ["order-svc", "outbox-relay", "notify-svc"] {
        for ((database, nats), authority, warnings) in cases {
            let service = Service::new(binary(program)).env("DATABASE_URL", database).env("NATS_URL", nats);
            let mut service = service.env("EMAIL_TRANSPORT", "log");
            for name in ["DATABASE_CA_FILE", "NATS_CA_FILE"] {
                service = authority.iter().fold(service, |service, file| service.env(name, file));
            }
            service.spawn();
            // Both connections are made ready before the first of them is tried.
            eventually("it has begun", async || service.log().contains("database is not reachable")).await;
            for name in ["DATABASE_CA_FILE", "NATS_CA_FILE"] {
                let log = service.log();
                let warned = log.lines().filter(|line| line.contains("WARN") && line.contains(name)).count();
                assert_eq!(warned, warnings, "{program} {database} {nats}: {log}");
            }
        }
    }
}

#[test]
fn a_file_that_can_not_be_used_ends_with_64_and_one_line() {
    let authority = Authority::new();
    let Signed { certificate, key } = authority.sign("client", Flaw::None);
    let file = |name: &str, text: &str| {
        let path = authority.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let empty = file("empty.pem", "");
    let no_pem = file("no.pem", "hunter2\n");
    let broken = file("broken.pem", "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n");
    let sound = |name: &str| match name.rsplit('_').nth(1) {
        Some("KEY") => key.clone(),
        Some("CERT") => certificate.clone(),
        _ => authority.file(),
    };
    let of_servers =
        ["DATABASE", "NATS"].map(|server| ["CA", "CERT", "KEY"].map(|kind| format!("{server}_{kind}_FILE")));
    let of_servers: Vec<String> = of_servers.concat();
    let of_http = ["AUTH_JWKS_CA_FILE", "HTTP_CERT_FILE", "HTTP_KEY_FILE"].map(str::to_owned).to_vec();
    let of_emails = ["ORDERS_CA_FILE", "SMTP_CA_FILE"].map(str::to_owned).to_vec();
    for (program, names) in [
        ("order-svc", [of_servers.clone(), of_http.clone()].concat()),
        ("outbox-relay", of_servers.clone()),
        ("notify-svc", [of_servers, of_http, of_emails].concat()),
    ] {
        for name in &names {
            for (path, reason) in [
                (Path::new("/nowhere/at/all.pem"), "cannot be read: No such file"),
                (authority.folder(), "cannot be read: Is a directory"),
                (&empty, "holds no sound"),
                (&no_pem, "holds no sound"),
                (&broken, "holds no sound"),
            ] {
                let mut environment = vec![
                    ("DATABASE_URL", "mysql://nobody@127.0.0.1:1/nothing"),
                    ("NATS_URL", "nats://127.0.0.1:1"),
                    ("ADMIN_ADDR", "127.0.0.1:0"),
                    ("HTTP_ADDR", "127.0.0.1:0"),
                    ("EMAIL_TRANSPORT", "smtp"),
                    ("EMAIL_FROM", "shop@example.com"),
                    ("SMTP_URL", "smtps://127.0.0.1:1"),
                    ("ORDERS_URL", "http://127.0.0.1:1"),
                ];
                let files: Vec<_> = names
                    .iter()
                    .map(|other| (other, if other == name { path.to_owned() } else { sound(other) }))
                    .collect();
                environment.extend(files.iter().map(|(name, path)| (name.as_str(), text(path))));
                let output = run(program, &["run"], &environment);
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(64), "{program} {name}: {said}");
                assert!(
                    said.contains(name.as_str()) && said.contains(reason) && !said.contains("hunter2"),
                    "{program} {name}: {said}"
                );
                assert_eq!(said.lines().count(), 1, "{said}");
            }
        }
    }
}
