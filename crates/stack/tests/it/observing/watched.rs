//! The pipeline with a Prometheus that watches it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use schema::names;
use serde_json::{Value, json};
use sqlx::MySqlPool;
use stack::Engine;
use stack::home::Home;
use stack::process::{Output, Running};
use stack::server::{PrometheusOptions, prometheus, prometheus_readiness};
use stack::service::Program;
use stack::smtp::SmtpServer;
use stack::testing::{Database, MySql, Nats, Port, Service, eventually, eventually_within};
use tempfile::TempDir;
use uuid::Uuid;

use crate::services::{Services, paying, run};

/// A minute of the rules is half a second here; no range is shorter than some scrapes.
const HASTEN: u32 = 120;
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Watched {
    pub(super) services: Services,
    orders: Database,
    /// Of the orders.
    pub(super) admin: MySqlPool,
    pub(super) notifications: Database,
    pub(super) payments: Database,
    pub(super) nats: Nats,
    pub(super) mysql: MySql,
    pub(super) smtp: SmtpServer,
    /// The folder that stands for the payment provider.
    pub(super) provider: PathBuf,
    _paying: [Service; 2],
    port: Port,
    _prometheus: Running,
    _folder: TempDir,
}

/// An event that no service has appended.
pub(super) struct Event {
    pub(super) order: Uuid,
    pub(super) version: u32,
    pub(super) subject: &'static str,
    pub(super) payload: Value,
    pub(super) age: Duration,
}

impl Event {
    /// The first of an order.
    pub(super) fn created() -> Self {
        let order = Uuid::now_v7();
        let mut payload: Value =
            serde_json::from_str(include_str!("../../../../../schema/events/order.created.example.json")).unwrap();
        payload["order_id"] = json!(order);
        Self { order, version: 1, subject: "order.created", payload, age: Duration::ZERO }
    }
}

impl Watched {
    pub(super) async fn start() -> Self {
        Self::start_beside(Vec::new()).await
    }

    /// With further jobs of Prometheus, and the port of each.
    pub(super) async fn start_beside(beside: Vec<(&'static str, u16)>) -> Self {
        let (mysql, nats) = (MySql::start(Engine::MariaDb).await, Nats::start_with_accounts().await);
        let orders = Database::create_on(&mysql, &schema::database::ORDERS).await;
        let notifications = Database::create_on(&mysql, &schema::database::NOTIFICATIONS).await;
        let payments = Database::create_on(&mysql, &schema::database::PAYMENTS).await;
        let mut smtp = SmtpServer::new();
        smtp.start().await.unwrap();
        let mut services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url());
        services.notify_svc = services.notify_svc.env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", smtp.url());
        services.order_svc = services.order_svc.env("PAYMENTS_STREAM", names::PAYMENTS_STREAM);
        services.relay = services.relay.env("WATCH_INTERVAL", "100ms");
        let services = services.start().await;
        let (folder, port) = (tempfile::tempdir().unwrap(), Port::reserve());
        let provider = folder.path().join("provider");
        let mut paying = paying(&payments, &nats, &provider).map(|service| service.env("WATCH_INTERVAL", "100ms"));
        for service in &mut paying {
            service.spawn();
        }
        for service in &mut paying {
            service.until_ready().await;
        }
        let ours = [
            (Program::OrderSvc, &services.order_svc),
            (Program::OutboxRelay, &services.relay),
            (Program::NotifySvc, &services.notify_svc),
            (Program::PaymentRelay, &paying[0]),
            (Program::PaymentSvc, &paying[1]),
        ];
        let ours = ours.map(|(program, service)| (program.name(), service.admin_port()));
        let options = PrometheusOptions {
            folder: folder.path().to_owned(),
            port: port.number(),
            targets: ours.into_iter().chain(beside).collect(),
            interval_seconds: 1,
            hasten: HASTEN,
            output: Output::File(folder.path().join("log")),
        };
        let launch = prometheus(&Home::find().unwrap(), &options).unwrap();
        let mut running = Running::start(launch, Duration::from_secs(20)).unwrap();
        let probe = async || prometheus_readiness(port.number()).await;
        running.process.until_ready(Duration::from_secs(30), probe).await.unwrap();
        let watched = Self {
            services,
            admin: orders.admin_pool().await,
            orders,
            notifications,
            payments,
            nats,
            mysql,
            smtp,
            provider,
            _paying: paying,
            port,
            _prometheus: running,
            _folder: folder,
        };
        // What a counter counted before it was first scraped is no increase.
        eventually("each program is scraped", async || {
            let scraped = watched.query("process_start_time_seconds").await;
            ours.iter().all(|(job, _)| scraped.iter().any(|series| series["metric"]["job"] == *job))
        })
        .await;
        watched
    }

    /// Places an order for this customer; its id, unless it is refused.
    pub(super) async fn place(&self, email: &str) -> Option<String> {
        self.place_of("Espresso machine", email).await
    }

    /// The same of another product.
    pub(super) async fn place_of(&self, product: &str, email: &str) -> Option<String> {
        let order = json!({ "product": product, "quantity": 2, "email": email });
        let client = reqwest::Client::builder().timeout(Duration::from_secs(15)).build().unwrap();
        let answer = client.post(self.services.order_svc.url("/api/orders")).json(&order).send().await.ok()?;
        let answer: Value = answer.error_for_status().ok()?.json().await.ok()?;
        Some(answer["id"].as_str()?.to_owned())
    }

    /// What Prometheus answers to a query now.
    pub(super) async fn query(&self, query: &str) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port.number());
        let url = reqwest::Url::parse_with_params(&url, [("query", query)]).unwrap();
        let mut answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        std::mem::take(answer["data"]["result"].as_array_mut().unwrap())
    }

    async fn firing(&self) -> BTreeSet<String> {
        let alerts = self.query(r#"ALERTS{alertstate="firing"}"#).await;
        alerts.iter().map(|alert| alert["metric"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until each of these alerts has fired.
    pub(super) async fn until(&self, alerts: &[&str]) {
        self.until_doing(alerts, async || ()).await;
    }

    /// The same while customers order, whatever becomes of that.
    pub(super) async fn until_placing(&self, alerts: &[&str]) {
        self.until_doing(alerts, async || {
            drop(self.place("ada@example.com").await);
            drop(self.place("bob@example.com").await);
        })
        .await;
    }

    /// The same while this is done again and again.
    pub(super) async fn until_doing(&self, alerts: &[&str], mut doing: impl AsyncFnMut()) {
        let mut silent = BTreeSet::from_iter(alerts);
        eventually_within(PATIENCE, &format!("{alerts:?} fire"), async || {
            doing().await;
            let firing = self.firing().await;
            silent.retain(|alert| !firing.contains(**alert));
            silent.is_empty()
        })
        .await;
    }

    /// Appends an event by plain SQL.
    pub(super) async fn append(&self, event: &Event) {
        let insert =
            "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, inserted_at)
             VALUES (?, 'order', ?, ?, 'order.created', ?, ?, UTC_TIMESTAMP(6) - INTERVAL ? SECOND)";
        let insert = sqlx::query(insert).bind(Uuid::now_v7()).bind(event.order.to_string()).bind(event.version);
        let insert = insert.bind(event.subject).bind(&event.payload).bind(event.age.as_secs());
        insert.execute(&self.admin).await.unwrap();
    }

    /// A customer who orders, and one who asks for orders, whatever becomes of that.
    pub(super) fn asking(&self) -> impl Future<Output = ()> + Send + 'static {
        let order = json!({ "product": "Espresso machine", "quantity": 2, "email": "ada@example.com" });
        let (client, url) = (reqwest::Client::new(), self.services.order_svc.url("/api/orders"));
        async move { drop(tokio::join!(client.post(&url).json(&order).send(), client.get(&url).send())) }
    }

    /// Appends many events that nobody has a use for, at once.
    pub(super) async fn append_many(&self, count: u32) {
        let insert =
            "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
             SELECT 'order', UUID(), 1, 'order.viewed', 'order.viewed', '{}' FROM seq_1_to_100000 LIMIT ?";
        sqlx::query(insert).bind(count).execute(&self.admin).await.unwrap();
    }

    /// What a program's verb says, as somebody who was woken would ask it.
    pub(super) fn say(&self, program: Program, verb: &[&str]) -> String {
        let database = match program {
            Program::OrderSvc | Program::OutboxRelay => &self.orders,
            Program::NotifySvc => &self.notifications,
            Program::PaymentSvc | Program::PaymentRelay => &self.payments,
        };
        let environment = [
            ("DATABASE_URL", &*database.url(program.user_of(verb))),
            ("NATS_URL", &*self.nats.url()),
            ("NATS_USER", program.name()),
            ("NATS_PASSWORD", Nats::PASSWORD),
            ("USER", "ada"),
        ];
        let output = run(program.name(), verb, &environment);
        let said = [output.stdout, output.stderr].concat();
        format!("{:?}: {}", output.status.code(), String::from_utf8(said).unwrap())
    }

    /// What notify-svc says of its own readiness.
    pub(super) async fn ready(&self) -> String {
        reqwest::get(self.services.notify_svc.admin_url("/readyz")).await.unwrap().text().await.unwrap()
    }

    /// Waits until this alert does not fire.
    pub(super) async fn until_no(&self, alert: &str) {
        eventually_within(PATIENCE, &format!("{alert} ends"), async || !self.firing().await.contains(alert)).await;
    }
}
