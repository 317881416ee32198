//! What every test here starts from: a database, a broker with the stream that the relay would make, and order events.

use std::time::Duration;

use std::num::NonZeroU32;
use std::path::Path;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{self, PullConsumer};
use async_nats::jetstream::{self, stream};
use chrono::Utc;
use schema::envelope::Envelope;
use schema::event::{OrderCancelled, OrderCreated, OrderEvent, SCHEMA_VERSION};
use schema::ids::{EventId, OrderId};
use schema::names;
use serde_json::Value;
use sqlx::{AssertSqlSafe, MySqlPool};
use stack::service::Program;
use stack::testing::{Cluster, Database, MySql, Nats, Recipients, Service, eventually, eventually_within};
use stack::{Engine, recipients};
use tempfile::TempDir;

pub(crate) struct Setting {
    pub(crate) database: Database,
    /// May do everything: a test looks where the service may not.
    pub(crate) pool: MySqlPool,
    pub(crate) nats: Nats,
    pub(crate) emails: TempDir,
}

impl Setting {
    /// A database and a broker with the stream.
    pub(crate) async fn new(engine: Engine) -> Self {
        let setting = Self::without_stream(engine).await;
        setting.create_stream().await;
        setting
    }

    /// As [`Setting::new`], on a database server that no other test uses.
    pub(crate) async fn on(server: &MySql) -> Self {
        let setting = Self::with(Database::create_on(server, &schema::database::NOTIFICATIONS).await).await;
        setting.create_stream().await;
        setting
    }

    pub(crate) async fn without_stream(engine: Engine) -> Self {
        Self::with(Database::create(engine, &schema::database::NOTIFICATIONS).await).await
    }

    /// With a stream that three servers hold.
    pub(crate) async fn in_cluster(engine: Engine) -> (Self, Cluster) {
        let database = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let (nats, cluster) = Cluster::start().await;
        let setting = Self { pool: database.admin_pool().await, database, nats, emails: tempfile::tempdir().unwrap() };
        let config = stream::Config { num_replicas: 3, ..stream_config() };
        eventually("the cluster makes the stream", async || {
            setting.jetstream().await.create_stream(config.clone()).await.is_ok()
        })
        .await;
        (setting, cluster)
    }

    async fn with(database: Database) -> Self {
        let pool = database.admin_pool().await;
        Self { database, pool, nats: Nats::start().await, emails: tempfile::tempdir().unwrap() }
    }

    pub(crate) async fn create_stream(&self) {
        self.jetstream().await.create_stream(stream_config()).await.unwrap();
    }

    pub(crate) async fn create_payments_stream(&self) {
        let subjects = names::PAYMENTS_STREAM_SUBJECTS.iter().map(|subject| (*subject).to_owned()).collect();
        let config = stream::Config { name: names::PAYMENTS_STREAM.to_owned(), subjects, ..stream::Config::default() };
        self.jetstream().await.create_stream(config).await.unwrap();
    }

    /// The service, not started, writing emails into files.
    pub(crate) fn service(&self) -> Service {
        Service::new(Path::new(env!("CARGO_BIN_EXE_notify-svc")))
            .env("DATABASE_URL", self.database.url("notify_svc"))
            .env("NATS_URL", self.nats.url())
            .env("EMAIL_TRANSPORT", "file")
            .env("EMAIL_DIR", self.emails.path().to_str().unwrap())
            .env("EMAIL_FROM", "Web Store <orders@example.com>")
            .env("MAILS_PER_RECIPIENT_PER_HOUR", "0")
            .env("LOG_FILTER", "info,notify_svc=debug,inbox=debug")
    }

    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        jetstream_at(&self.nats.url()).await
    }

    pub(crate) async fn publish(&self, events: &[&Published]) {
        publish_at(&self.nats.url(), events).await;
    }

    /// The durable consumer, which the service made.
    pub(crate) async fn consumer(&self) -> PullConsumer {
        let stream = self.jetstream().await.get_stream(names::STREAM).await.unwrap();
        stream.get_consumer(names::NOTIFY_DURABLE).await.unwrap()
    }

    pub(crate) async fn consumer_info(&self) -> consumer::Info {
        self.consumer().await.get_info().await.unwrap()
    }

    /// Waits until the broker has nothing left for the service and expects no answer.
    pub(crate) async fn until_all_answered(&self) {
        eventually("every message is answered", async || {
            let info = self.consumer_info().await;
            info.num_pending == 0 && info.num_ack_pending == 0
        })
        .await;
    }

    /// Rows of a table.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn until_count(&self, table: &str, rows: i64) {
        eventually(&format!("{table} has {rows} rows"), async || self.count(table).await == rows).await;
    }
}

async fn jetstream_at(url: &str) -> jetstream::Context {
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    jetstream::new(options.connect(url).await.unwrap())
}

/// By way of one server of a cluster.
pub(crate) async fn publish_at(url: &str, events: &[&Published]) {
    let jetstream = jetstream_at(url).await;
    for events in events.chunks(500) {
        let mut missing = events.to_vec();
        // A cluster that has lost a leader answers some late or never; these go again, and the inbox knows them.
        eventually_within(Duration::from_secs(60), "the stream has the events", async || {
            missing = publish_once(&jetstream, &missing).await;
            missing.is_empty()
        })
        .await;
    }
}

/// Those of which the broker did not say that it has them.
async fn publish_once<'a>(jetstream: &jetstream::Context, events: &[&'a Published]) -> Vec<&'a Published> {
    let mut sent = Vec::new();
    for event in events {
        let (subject, body) = (event.subject.clone(), event.body.clone().into());
        sent.push((*event, jetstream.publish_with_headers(subject, event.headers(), body).await.unwrap()));
    }
    let mut missing = Vec::new();
    for (event, stored) in sent {
        if stored.await.is_err() {
            missing.push(event);
        }
    }
    missing
}

fn stream_config() -> stream::Config {
    let subjects = names::STREAM_SUBJECTS.iter().map(|subject| (*subject).to_owned()).collect();
    stream::Config { name: names::STREAM.to_owned(), subjects, ..stream::Config::default() }
}

/// A message as the relay would publish it, unless a test spoils it.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) subject: String,
    pub(crate) envelope: Envelope,
    pub(crate) body: String,
    /// Whether it takes the place of a discarded event.
    pub(crate) is_tombstone: bool,
}

impl Published {
    /// Version 1 of a new order.
    pub(crate) fn created() -> Self {
        Self::created_of(OrderId::generate(), "Espresso machine")
    }

    pub(crate) fn created_of(order_id: OrderId, product: &str) -> Self {
        Recipients::of_this_process().tell(order_id.0, recipients::ADA);
        let event = OrderEvent::Created(OrderCreated {
            schema_version: SCHEMA_VERSION,
            order_id,
            product: product.to_owned(),
            quantity: 2,
            placed_at: Utc::now(),
        });
        Self::of(&event, 1)
    }

    /// Version 1 of a new order of this customer.
    pub(crate) fn created_by(email: &str) -> Self {
        let event = Self::created();
        Recipients::of_this_process().tell(event.order_id().0, email);
        event
    }

    /// Version 2 of the order.
    pub(crate) fn cancelled_of(order_id: OrderId) -> Self {
        let event = OrderEvent::Cancelled(OrderCancelled {
            schema_version: SCHEMA_VERSION,
            order_id,
            product: "Espresso machine".to_owned(),
            quantity: 2,
            cancelled_at: Utc::now(),
            cause: None,
        });
        Self::of(&event, 2)
    }

    fn of(event: &OrderEvent, version: u32) -> Self {
        let envelope = Envelope {
            event_id: EventId::generate(),
            source: names::ORDERS_SOURCE.to_owned(),
            event_type: event.event_type().to_string(),
            aggregate_type: names::ORDER.to_owned(),
            aggregate_id: event.order_id().into(),
            aggregate_version: NonZeroU32::new(version),
            occurred_at: Utc::now(),
        };
        Self { subject: event.event_type().to_string(), envelope, body: event.payload().unwrap(), is_tombstone: false }
    }

    /// What the relay publishes when this event is discarded.
    pub(crate) fn tombstone(&self) -> Self {
        Self { body: "{}".to_owned(), is_tombstone: true, ..self.clone() }
    }

    pub(crate) fn order_id(&self) -> OrderId {
        self.envelope.aggregate_id.as_str().parse().unwrap()
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.envelope.headers() {
            headers.insert(name, value.as_str());
        }
        if self.is_tombstone {
            headers.insert(names::TOMBSTONE_HEADER, "true");
        }
        headers
    }
}

/// An event of an order at any version.
pub(crate) fn at_version(version: u32, order_id: OrderId) -> Published {
    let mut event =
        if version == 1 { Published::created_of(order_id, "tea") } else { Published::cancelled_of(order_id) };
    event.envelope.aggregate_version = NonZeroU32::new(version);
    event
}

/// JSON from a path of the service.
pub(crate) async fn get(service: &Service, path: &str) -> Value {
    reqwest::get(service.url(path)).await.unwrap().json().await.unwrap()
}

/// A number of `/api/events/stats`.
pub(crate) async fn stat(service: &Service, name: &str) -> u64 {
    get(service, "/api/events/stats").await[name].as_u64().unwrap()
}

/// A series of /metrics, by its name with labels.
pub(crate) async fn metric(service: &Service, series: &str) -> f64 {
    let text = reqwest::get(service.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("no {series}"));
    value.trim().parse().unwrap()
}

/// The program with another verb, as the user for people: its status, and what it printed.
pub(crate) fn verb(setting: &Setting, arguments: &[&str]) -> (bool, String) {
    let output = verb_command(setting, arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// The process of [`verb`], not yet started.
pub(crate) fn verb_command(setting: &Setting, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_notify-svc"));
    // As in a pod.
    command.env_remove("USER");
    let database = setting.database.url(Program::NotifySvc.operator());
    command.args(arguments).env("DATABASE_URL", database).env("NATS_URL", setting.nats.url());
    command
}

/// As [`verb`], with `--json`.
pub(crate) fn verb_json(setting: &Setting, arguments: &[&str]) -> (bool, Value) {
    let (is_success, said) = verb(setting, &[arguments, &["--json"]].concat());
    (is_success, serde_json::from_str(&said).unwrap_or_else(|error| panic!("{said}: {error}")))
}

/// A condition of the view `notifications_text`: the customer has such an address, as the stand-in for order-svc was told.
pub(crate) fn whose(is_meant: impl Fn(&str) -> bool) -> String {
    let orders = Recipients::of_this_process().orders();
    let meant = orders.iter().filter(|(_, address)| is_meant(address)).map(|(order, _)| format!("'{order}'"));
    format!("order_id IN ('', {})", meant.collect::<Vec<_>>().join(", ")).replace(", )", ")")
}

/// As [`whose`]: this address.
pub(crate) fn to(address: &str) -> String {
    whose(|known| known == address)
}
