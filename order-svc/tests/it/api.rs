//! The real router on a port of its own, over a database of its own, as the user that production has.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use order_svc::bound::Bound;
use order_svc::metrics::Metrics;
use order_svc::{App, group};
use outbox::{Outbox, OutboxConfig, wake};
use prometheus::{Registry, TextEncoder};
use reqwest::{Client, RequestBuilder, Response};
use runtime::config::Secret;
use runtime::http::metrics::HttpMetrics;
use runtime::http::server;
use runtime::mysql::{self, DatabaseConfig, DatabaseTls};
use runtime::nats::{NatsAccess, NatsConfig};
use runtime::readiness::Readiness;
use schema::event::EventType;
use schema::names;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySqlPool};
use stack::testing::{Database, Engine, MySql};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the service under test waits for a connection.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// Nobody listens on port 1.
pub const NO_NATS: &str = "nats://127.0.0.1:1";

pub const USER: &str = "order_svc";

/// A served API. Stops when dropped.
pub struct Api {
    pub client: Client,
    /// What it serves.
    pub app: App,
    _database: Database,
    /// As the administrator.
    pub pool: MySqlPool,
    address: SocketAddr,
    registry: Registry,
    _stop: DropGuard,
}

impl Api {
    /// Over a fresh database, with NATS away.
    pub async fn start(engine: Engine) -> Self {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        Self::over(database, |database| database.url(USER), NO_NATS).await
    }

    /// Over a server of its own, which dies with the second value.
    pub async fn alone(engine: Engine) -> (Self, MySql) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        (Self::over(database, |database| database.url(USER), NO_NATS).await, server)
    }

    /// Over a database that is reached at the URL that `database_url` makes.
    pub async fn over(database: Database, database_url: impl FnOnce(&Database) -> String, nats_url: &str) -> Self {
        Self::with_event_bytes_max(database, database_url, nats_url, "1048576").await
    }

    /// Over a fresh database, with NATS away; a customer may place so many orders within an hour.
    pub async fn bounded(engine: Engine, orders_max: u32) -> Self {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let url = database.url(USER);
        Self::with(database, (url, NO_NATS), ("1048576", NonZeroU32::new(orders_max).map(Bound))).await
    }

    /// The same for a broker that takes no more than so many bytes.
    pub async fn with_event_bytes_max(
        database: Database,
        database_url: impl FnOnce(&Database) -> String,
        nats_url: &str,
        event_bytes_max: &str,
    ) -> Self {
        let database_url = database_url(&database);
        Self::with(database, (database_url, nats_url), (event_bytes_max, None)).await
    }

    async fn with(
        database: Database,
        (database_url, nats_url): (String, &str),
        (event_bytes_max, bound): (&str, Option<Bound>),
    ) -> Self {
        let config = DatabaseConfig {
            database_url: Secret::from(database_url),
            database_tls: DatabaseTls::default(),
            database_connections_max: 4,
            database_acquire_timeout: ACQUIRE_TIMEOUT,
        };
        let registry = Registry::new();
        let outbox = OutboxConfig { event_bytes_max: event_bytes_max.parse().unwrap() };
        let (pool, metrics) = (mysql::pool(&config).unwrap(), Metrics::register(&registry).unwrap());
        let outbox = Outbox::new(&outbox, &EventType::ALL.map(EventType::as_str), &registry).unwrap();
        let (groups, lanes) = group::lanes(&pool, &outbox, &metrics, (64, bound));
        let app = App { pool, outbox, metrics, groups, bound };
        let listener = server::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let broker = NatsConfig { nats_url: Secret::from(nats_url.to_owned()), nats_access: NatsAccess::default() };
        let nats = wake::connect("order-svc", &broker, (&Readiness::new(shutdown.clone()), &registry)).await.unwrap();
        tokio::spawn(wake::run(nats, names::ORDERS_WAKE_SUBJECT, app.outbox.wake(), shutdown.clone()));
        for lane in lanes {
            tokio::spawn(lane.run(shutdown.clone()));
        }
        let router = order_svc::http::router(app.clone(), HttpMetrics::register(&registry).unwrap(), None);
        tokio::spawn(server::serve(listener, router, shutdown.clone()));
        let pool = database.admin_pool().await;
        let (client, _stop) = (Client::new(), shutdown.drop_guard());
        Self { client, app, _database: database, pool, address, registry, _stop }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.client.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        Answer::to(self.client.post(self.url(path))).await
    }

    /// Asks to place a good order.
    pub async fn place(&self) -> Answer {
        Answer::to(self.client.post(self.url("/api/orders")).json(&good_order())).await
    }

    /// Asks to place an order under a key.
    pub async fn place_as(&self, key: &str, order: &Value) -> Answer {
        Answer::to(self.client.post(self.url("/api/orders")).header("idempotency-key", key).json(order)).await
    }

    /// Places a good order and returns its id.
    pub async fn placed(&self) -> String {
        let answer = self.place().await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// The single number that a query gives to the administrator.
    pub async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// Runs a statement as the administrator.
    pub async fn execute(&self, statement: &str) {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&self.pool).await.unwrap();
    }

    /// How many sessions wait for a row, on a server of the test's own.
    pub async fn row_lock_waits(&self) -> u32 {
        let query = sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'");
        let (_, waits): (String, String) = query.fetch_one(&self.pool).await.unwrap();
        waits.parse().unwrap()
    }

    /// Rows of `orders` and of `outbox`.
    pub async fn rows(&self) -> (i64, i64) {
        (self.count("SELECT COUNT(*) FROM orders").await, self.count("SELECT COUNT(*) FROM outbox").await)
    }

    /// Whether `/metrics` would have this line.
    pub fn shows(&self, sample: &str) -> bool {
        self.metrics().lines().any(|line| line == sample)
    }

    /// Whether a wake hint had this outcome.
    pub fn shows_hint(&self, outcome: &str) -> bool {
        !self.shows(&format!("outbox_wake_hints_total{{outcome=\"{outcome}\"}} 0"))
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }
}

pub fn good_order() -> Value {
    json!({"product": "Espresso machine", "quantity": 2, "email": "ada@example.com"})
}

/// An answer, read.
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    /// Null if it is no JSON.
    pub body: Value,
    pub text: String,
}

impl Answer {
    pub async fn to(request: RequestBuilder) -> Self {
        let response: Response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Self { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Checks that this is a problem of this status and code, and returns the pointers that it names.
    pub fn problem(&self, status: u16, code: &str) -> Vec<&str> {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("urn:problem:{code}"));
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    /// Checks that this is a problem that may pass, and that it says when to come back.
    pub fn unavailable(&self, code: &str) {
        self.problem(503, code);
        assert!((1..=60).contains(&self.header("retry-after").parse::<u64>().unwrap()));
    }
}
