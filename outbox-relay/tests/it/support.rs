//! An outbox, a stream and relays between them.

use std::error::Error;
use std::fmt::Display;

use async_nats::jetstream::consumer::Consumer;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use futures::StreamExt;
use serde_json::json;
use sqlx::MySqlPool;
use stack::Engine;
use stack::testing::{Database, Nats, Service, TcpProxy, eventually};
use uuid::Uuid;

/// The servers of one test.
pub struct World {
    pub database: Database,
    /// As the administrator; writes the outbox like any program could.
    pub pool: MySqlPool,
    pub nats: Nats,
}

/// A row of the outbox, as far as tests look at it.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    pub state: String,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub stream_seq: Option<u64>,
}

/// A message of the stream, as far as tests look at it.
#[derive(Debug)]
pub struct Message {
    pub sequence: u64,
    pub msg_id: String,
    pub headers: async_nats::HeaderMap,
}

impl World {
    pub async fn new(engine: Engine) -> Self {
        let (database, nats) = (Database::create(engine, &schema::database::ORDERS).await, Nats::start().await);
        Self { pool: database.admin_pool().await, database, nats }
    }

    /// A relay with least privileges, to be started.
    pub fn relay(&self) -> Service {
        Service::new(env!("CARGO_BIN_EXE_outbox-relay"))
            .env("DATABASE_URL", self.database.url("outbox_relay"))
            .env("NATS_URL", self.nats.url())
            .env("POLL_INTERVAL", "50ms")
    }

    /// A relay that reaches its database by way of a proxy, to be started.
    pub fn relay_through(&self, proxy: &TcpProxy) -> Service {
        self.relay().env("DATABASE_URL", self.database.url_through("outbox_relay", proxy.port()))
    }

    /// Appends an event as an order service would; returns its event id.
    pub async fn append(&self, aggregate: impl Display, version: u32) -> Uuid {
        let event_id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
             VALUES (?, 'order', ?, ?, 'order.created', 'order.created', ?)",
        )
        .bind(event_id)
        .bind(aggregate.to_string())
        .bind(version)
        .bind(json!({ "version": version }))
        .execute(&self.pool)
        .await
        .unwrap();
        event_id
    }

    pub async fn row(&self, event_id: Uuid) -> Row {
        sqlx::query_as("SELECT state, attempts, last_error, stream_seq FROM outbox WHERE event_id = ?")
            .bind(event_id)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn count(&self, state: &str) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE state = ?")
            .bind(state)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn until_all_published(&self) {
        eventually("everything is published", async || self.count("pending").await == 0).await;
    }

    pub async fn lease_epoch(&self) -> u64 {
        sqlx::query_scalar("SELECT epoch FROM relay_lease").fetch_one(&self.pool).await.unwrap()
    }

    pub async fn lease_is_free(&self) -> bool {
        sqlx::query_scalar("SELECT holder IS NULL FROM relay_lease").fetch_one(&self.pool).await.unwrap()
    }

    pub async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(self.nats.url()).await.unwrap())
    }

    /// How much is in the stream, and a consumer of it. None if there is no stream.
    async fn reader(&self) -> Result<Option<(usize, Consumer<OrderedConfig>)>, Box<dyn Error>> {
        let mut stream = match self.jetstream().await.get_stream(schema::names::STREAM).await.map_err(|e| e.kind()) {
            Ok(stream) => stream,
            Err(GetStreamErrorKind::JetStream(e)) if e.error_code() == ErrorCode::STREAM_NOT_FOUND => return Ok(None),
            Err(error) => return Err(error.to_string().into()),
        };
        let count = stream.info().await?.state.messages.try_into()?;
        Ok(Some((count, stream.create_consumer(OrderedConfig::default()).await?)))
    }

    /// Everything in the stream, in its order; nothing if there is no stream.
    pub async fn messages(&self) -> Vec<Message> {
        let mut reader = None;
        // A cluster that has just come together may not answer yet.
        eventually("the stream can be read", async || self.reader().await.map(|there| reader = there).is_ok()).await;
        let Some((count, consumer)) = reader else { return Vec::new() };
        let messages = consumer.messages().await.unwrap();
        let read = async |message: Result<jetstream::Message, _>| {
            let message = message.unwrap();
            let headers = message.headers.clone().unwrap();
            let msg_id = headers.get(schema::names::MSG_ID_HEADER).unwrap().to_string();
            Message { sequence: message.info().unwrap().stream_sequence, msg_id, headers }
        };
        messages.take(count).then(read).collect().await
    }
}

/// The value of a metric without labels, or with the labels given in its name.
pub async fn metric(relay: &Service, name: &str) -> f64 {
    let text = reqwest::get(relay.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} is not in {text}")).split(' ').next_back().unwrap().parse().unwrap()
}

/// The status and the body of `/readyz`.
pub async fn readyz(relay: &Service) -> (u16, String) {
    let answer = reqwest::get(relay.admin_url("/readyz")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
