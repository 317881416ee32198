//! Passwords that are changed at the server first and in the file later.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use schema::database::{Definition, NOTIFICATIONS, ORDERS};
use sqlx::{AssertSqlSafe, MySqlPool};
use stack::server::NATS_USERS;
use stack::testing::{Database, MySql, Nats, Service, binary, eventually};
use stack::{Engine, both_engines};

use crate::services::{Services, metric};

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

async fn readyz(service: &Service) -> (u16, String) {
    let answer = reqwest::get(service.admin_url("/readyz")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Changes a user's password and kills its connections, as whoever rotates it does.
async fn rotate(admin: &MySqlPool, user: &str) {
    let change = format!("ALTER USER '{user}'@'%' IDENTIFIED BY 'fresh'");
    sqlx::raw_sql(AssertSqlSafe(change)).execute(admin).await.unwrap();
    let threads = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE user = ?";
    let mut listed: Vec<i64> = Vec::new();
    // MySQL refuses it while some session's statement has binary text.
    eventually("the threads are listed", async || {
        let rows = sqlx::query_scalar(threads).bind(user).fetch_all(admin).await;
        rows.map(|rows| listed = rows).is_ok()
    })
    .await;
    for thread in listed {
        // One of them may have ended by itself.
        sqlx::raw_sql(AssertSqlSafe(format!("KILL {thread}"))).execute(admin).await.ok();
    }
}

const SERVICES: [(&str, &str, &Definition); 3] = [
    ("order-svc", "order_svc", &ORDERS),
    ("outbox-relay", "outbox_relay", &ORDERS),
    ("notify-svc", "notify_svc", &NOTIFICATIONS),
];

both_engines! {
    async fn a_rotated_database_password_is_read_again(engine: Engine) {
        let server = MySql::start(engine).await;
        let (orders, notifications) =
            (Database::create_on(&server, &ORDERS).await, Database::create_on(&server, &NOTIFICATIONS).await);
        let (nats, folder) = (Nats::start().await, tempfile::tempdir().unwrap());
        let admin = orders.admin_pool().await;
        let mut services = Vec::new();
        for (name, user, definition) in SERVICES {
            let database = if definition.name == ORDERS.name { &orders } else { &notifications };
            let (file, url) = (folder.path().join(name), database.url(user));
            write(&file, &url);
            let mut service = Service::new(binary(name))
                .env("DATABASE_URL_FILE", file.to_str().unwrap())
                .env("NATS_URL", nats.url())
                .env("EMAIL_TRANSPORT", "log");
            service.spawn();
            services.push((service, user, file, url));
        }
        for (service, ..) in &mut services {
            service.until_ready().await;
        }
        let order = r#"{"product":"Espresso machine","quantity":2,"email":"ada@example.com"}"#;
        let orders_url = services[0].0.url("/api/orders");
        let place = async || {
            let request = reqwest::Client::new().post(&orders_url).header("content-type", "application/json");
            let answer = request.body(order).send().await.unwrap();
            (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
        };
        assert_eq!(place().await.0, 201);
        for (_, user, ..) in &services {
            rotate(&admin, user).await;
        }
        assert_eq!(place().await, (503, true));
        for (service, ..) in &services {
            eventually("it is not ready", async || {
                let (status, text) = readyz(service).await;
                status == 503 && text.contains("database: it refuses our login")
            })
            .await;
            assert_eq!(metric(service, "database_login_refused").await, 1.0);
        }
        for (service, _, file, url) in &services {
            write(file, &url.replace(&format!(":{}@", Database::PASSWORD), ":fresh@"));
            eventually("it is ready again", async || readyz(service).await.0 == 200).await;
            assert_eq!(metric(service, "database_login_refused").await, 0.0);
        }
        assert_eq!(place().await.0, 201);
        for (service, ..) in &mut services {
            assert_eq!(service.terminate().await.code(), Some(0), "{}", service.log());
            assert!(!service.log().contains("fresh"), "{}", service.log());
        }
    }

    async fn a_nats_password_that_is_rotated_under_live_connections_is_read_again(engine: Engine) {
        let (orders, notifications) =
            (Database::create(engine, &ORDERS).await, Database::create(engine, &NOTIFICATIONS).await);
        let (nats, folder) = (Nats::start_with_accounts().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("password");
        write(&file, Nats::PASSWORD);
        let password = ("NATS_PASSWORD_FILE", file.to_str().unwrap());
        let (orders_url, notifications_url) = (|user: &str| orders.url(user), |user: &str| notifications.url(user));
        let mut services = Services::with_secrets(orders_url, notifications_url, &nats.url(), ("DATABASE_URL", password)).start().await;
        let before = services.place().await;
        services.until_notified(&before).await;

        nats.set_passwords(&NATS_USERS[..3].iter().map(|user| (*user, "fresh")).collect::<Vec<_>>());
        for service in services.each() {
            // The old password is still in the file when they connect again, more than once.
            eventually("its login is refused", async || service.log().matches("authorization violation").count() > 2).await;
        }
        for service in [&services.relay, &services.notify_svc] {
            eventually("it is not ready", async || readyz(service).await.1.contains("nats: it refuses our login")).await;
        }
        for service in [&services.order_svc, &services.relay, &services.notify_svc] {
            eventually("it says so", async || metric(service, "nats_login_refused").await == 1.0).await;
        }
        assert_eq!(readyz(&services.order_svc).await.0, 200, "it takes orders without NATS");
        let during = services.place().await;
        write(&file, "fresh");
        for service in services.each() {
            service.until_ready().await;
            eventually("it says so", async || metric(service, "nats_login_refused").await == 0.0).await;
        }
        services.until_notified(&during).await;
        let sent = async || metric(&services.order_svc, r#"outbox_wake_hints_total{outcome="sent"}"#).await;
        let sent_before = sent().await;
        eventually("the relay is woken again", async || {
            services.place().await;
            sent().await > sent_before
        })
        .await;
        for service in services.each() {
            assert_eq!(service.terminate().await.code(), Some(0), "{}", service.log());
            assert!(!service.log().contains("fresh"), "{}", service.log());
        }
    }

    async fn an_order_service_that_nats_never_let_in_is_not_ready(engine: Engine) {
        let (orders, nats) = (Database::create(engine, &ORDERS).await, Nats::start_with_accounts().await);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        write(&file, "wrong");
        let mut service = Service::new(binary("order-svc"))
            .env("DATABASE_URL", orders.url("order_svc"))
            .env("NATS_URL", nats.url())
            .env("NATS_USER", "order-svc")
            .env("NATS_PASSWORD_FILE", file.to_str().unwrap());
        service.spawn();
        eventually("its login is refused more than once", async || {
            service.log().matches("authorization violation").count() > 2
        })
        .await;
        let (status, text) = readyz(&service).await;
        assert!(status == 503 && text.contains("nats: it refuses our login"), "{status} {text}");
        write(&file, Nats::PASSWORD);
        service.until_ready().await;
    }

    async fn passwords_that_are_rotated_under_load_lose_no_order(engine: Engine) {
        let server = MySql::start(engine).await;
        let (orders, notifications) =
            (Database::create_on(&server, &ORDERS).await, Database::create_on(&server, &NOTIFICATIONS).await);
        let (nats, folder) = (Nats::start_with_accounts().await, tempfile::tempdir().unwrap());
        let admin = orders.admin_pool().await;
        let file = |name: &str| folder.path().join(name);
        let users = [("order_svc", &orders), ("outbox_relay", &orders), ("notify_svc", &notifications)];
        for (user, database) in users {
            write(&file(user), &database.url(user));
        }
        write(&file("nats"), Nats::PASSWORD);
        let place = |user: &str| file(user).to_str().unwrap().to_owned();
        let nats_file = place("nats");
        let secrets = ("DATABASE_URL_FILE", ("NATS_PASSWORD_FILE", nats_file.as_str()));
        let mut services = Services::with_secrets(place, place, &nats.url(), secrets).start().await;

        let is_over = AtomicBool::new(false);
        let load = async || {
            let mut taken = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                taken.extend(services.try_place().await);
            }
            taken
        };
        let rotation = async {
            let all = [&services.order_svc, &services.relay, &services.notify_svc];
            for ((user, database), service) in users.into_iter().zip(all) {
                rotate(&admin, user).await;
                eventually("its login is refused", async || metric(service, "database_login_refused").await == 1.0).await;
                write(&file(user), &database.url(user).replace(&format!(":{}@", Database::PASSWORD), ":fresh@"));
                eventually("it is taken", async || metric(service, "database_login_refused").await == 0.0).await;
            }
            nats.set_passwords(&NATS_USERS[..3].iter().map(|user| (*user, "fresh")).collect::<Vec<_>>());
            for service in all {
                eventually("its login is refused", async || metric(service, "nats_login_refused").await == 1.0).await;
            }
            write(&file("nats"), "fresh");
            for service in all {
                eventually("it is taken", async || metric(service, "nats_up").await == 1.0).await;
            }
            // Some are placed after all of it, too.
            let placed = async || metric(&services.order_svc, r#"orders_place_total{outcome="done"}"#).await;
            let before = placed().await;
            eventually("orders are taken", async || placed().await >= before + 10.0).await;
            is_over.store(true, Ordering::Relaxed);
        };
        let (first, second, ()) = futures::join!(load(), load(), rotation);
        let taken = [first, second].concat();
        assert!(taken.len() >= 10, "{}", taken.len());
        for order in &taken {
            services.until_notified(order).await;
        }
        for service in services.each() {
            assert_eq!(service.terminate().await.code(), Some(0), "{}", service.log());
        }
    }

    async fn a_rotated_nats_password_is_read_again(engine: Engine) {
        let (orders, notifications) =
            (Database::create(engine, &ORDERS).await, Database::create(engine, &NOTIFICATIONS).await);
        let (nats, folder) = (Nats::start_with_accounts().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("password");
        write(&file, "stale");
        let mut services = Vec::new();
        for (name, user, database) in
            [("outbox-relay", "outbox_relay", &orders), ("notify-svc", "notify_svc", &notifications)]
        {
            let mut service = Service::new(binary(name))
                .env("DATABASE_URL", database.url(user))
                .env("NATS_URL", nats.url())
                .env("NATS_USER", name)
                .env("NATS_PASSWORD_FILE", file.to_str().unwrap())
                .env("EMAIL_TRANSPORT", "log");
            service.spawn();
            services.push(service);
        }
        for service in &mut services {
            let admin = service.admin_url("/readyz");
            eventually("it is not ready", async || {
                let Ok(answer) = reqwest::get(&admin).await else { return false };
                answer.text().await.unwrap().contains("nats: it refuses our login")
            })
            .await;
        }
        write(&file, Nats::PASSWORD);
        for service in &mut services {
            service.until_ready().await;
        }
    }
}
