//! What the public is answered while the servers behind the services are away: nothing of these.

use schema::database::{NOTIFICATIONS, ORDERS};
use sqlx::AssertSqlSafe;
use stack::smtp::SmtpServer;
use stack::testing::{Database, MySql, Nats, Service, eventually};
use stack::{Engine, both_engines};

use crate::pipeline::Pipeline;
use crate::services::Services;

/// What names a server, a user, or the words of one.
fn told(answer: &str, ports: [u16; 2]) -> Vec<String> {
    let words = [
        "127.0.0.1",
        "localhost",
        "order_svc",
        "notify_svc",
        "mysql",
        "mariadb",
        "nats",
        "refused",
        "denied",
        "broken pipe",
        "os error",
    ];
    let words = words.map(str::to_owned).into_iter().chain(ports.map(|port| port.to_string()));
    words.filter(|word| answer.to_lowercase().contains(word)).collect()
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, format!("{headers:?} {}", answer.text().await.unwrap()))
}

/// What the servers said, as the tables keep it: each kind, once there is one.
async fn said(database: &Database, columns: &[&str]) -> Vec<String> {
    let (pool, mut texts) = (database.admin_pool().await, Vec::new());
    for column in columns {
        let (table, column) = column.split_once('.').unwrap();
        let query = format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL");
        eventually("a server has said something", async || {
            let found = sqlx::query_scalar::<_, String>(AssertSqlSafe(query.clone())).fetch_all(&pool).await.unwrap();
            texts.extend(found.iter().cloned());
            !found.is_empty()
        })
        .await;
    }
    texts
}

/// An event of an order that nobody can publish, or nobody can read.
async fn append(pipeline: &Pipeline, order: &str, (version, subject): (u32, &str)) {
    sqlx::query(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
         VALUES (UNHEX(REPLACE(UUID(), '-', '')), 'order', ?, ?, 'order.created', ?, '{\"schema_version\": \"marked payload\"}')",
    )
    .bind(order)
    .bind(version)
    .bind(subject)
    .execute(&pipeline.orders.admin_pool().await)
    .await
    .unwrap();
}

both_engines! {
    async fn an_answer_never_quotes_what_a_server_said(engine: Engine) {
        let mut smtp = SmtpServer::new();
        smtp.start().await.unwrap();
        smtp.refuse("ada@example.com", "550 5.1.1 marked: no such user");
        let url = smtp.url();
        let mail = |services: Services| services.env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", &url);
        let mut pipeline = Pipeline::start_with(engine, mail).await;
        let order = pipeline.services.place().await;
        pipeline.services.until_notified(&order).await;
        append(&pipeline, &order, (2, "order.*")).await;
        append(&pipeline, "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10", (1, "order.created")).await;
        let mut texts = said(&pipeline.notifications, &["effect.last_error", "inbox_dead.reason"]).await;
        texts.extend(said(&pipeline.orders, &["outbox.last_error"]).await);
        pipeline.nats.stop().await;
        pipeline.services.place().await;
        texts.extend(said(&pipeline.orders, &["relay_lease.outage"]).await);

        let [orders, notifications] = [&pipeline.services.order_svc, &pipeline.services.notify_svc];
        let events = format!("/api/orders/{order}/events");
        let paths = [
            (orders, "/api/orders", ""),
            (orders, &*events, r#""last_error":"given-up""#),
            (orders, "/api/orders/events/status", r#""last_error":"broker-unavailable""#),
            (orders, "/health", ""),
            (notifications, "/api/notifications", r#""last_error":"retrying""#),
            (notifications, "/api/events/stats", r#""dead_messages":[{"#),
            (notifications, "/api/events/status", ""),
            (notifications, "/health", ""),
        ];
        for (service, path, expected) in paths {
            let text = reqwest::get(service.url(path)).await.unwrap().text().await.unwrap();
            assert!(text.contains(expected), "{path}: {text}");
            let quoted: Vec<_> = texts.iter().filter(|said| text.contains(&**said)).collect();
            assert!(quoted.is_empty() && !text.contains("marked"), "{path}: {quoted:?} {text}");
        }
        assert!(texts.iter().any(|said| said.contains("marked")), "{texts:?}");
    }

    async fn an_answer_says_nothing_of_the_servers_that_are_away(engine: Engine) {
        let mut server = MySql::start(engine).await;
        let (orders, notifications) =
            (Database::create_on(&server, &ORDERS).await, Database::create_on(&server, &NOTIFICATIONS).await);
        let mut nats = Nats::start_with_accounts().await;
        let services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url()).start().await;
        let order = services.place().await;
        services.until_notified(&order).await;
        nats.stop().await;
        server.stop().await;

        let client = reqwest::Client::new();
        let (one, cancel) = (format!("/api/orders/{order}"), format!("/api/orders/{order}/cancel"));
        let body = r#"{"product":"Espresso machine","quantity":2,"email":"ada@example.com"}"#;
        let get = |service: &Service, path: &str| client.get(service.url(path));
        let post = |path: &str| client.post(services.order_svc.url(path)).header("content-type", "application/json");
        let requests = [
            get(&services.order_svc, "/api/orders"),
            get(&services.order_svc, &one),
            get(&services.order_svc, &format!("{one}/events")),
            get(&services.order_svc, "/api/orders/events/status"),
            get(&services.order_svc, "/health"),
            post("/api/orders").body(body),
            post(&cancel),
            get(&services.notify_svc, "/api/notifications"),
            get(&services.notify_svc, &format!("/api/notifications?order_id={order}")),
            get(&services.notify_svc, "/api/events/stats"),
            get(&services.notify_svc, "/health"),
        ];
        let ports = [server.port(), nats.port()];
        for request in requests {
            let (status, text) = answer(request).await;
            assert_eq!(status, 503, "{text}");
            assert_eq!(told(&text, ports), Vec::<String>::new(), "{text}");
        }
        eventually("the state of the events says that the broker is away, in words of our own", async || {
            let (status, text) = answer(get(&services.notify_svc, "/api/events/status")).await;
            assert_eq!(told(&text.replace("notify-svc", ""), ports), Vec::<String>::new(), "{text}");
            status == 200 && text.contains("disconnected")
        })
        .await;
    }
}
