//! What is there: the rows of both databases and the messages of the stream, as they are, read without any service.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::{self, stream::Stream};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use schema::aggregate::AggregateId;
use schema::envelope::Envelope;
use schema::ids::OrderId;
use schema::names::{NOTIFY_DURABLE, STREAM};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, MySqlConnection};
use tokio::time::timeout;
use uuid::Uuid;

/// No message of a stream that is at rest takes longer.
const NEXT_WITHIN: Duration = Duration::from_secs(20);

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The table `orders`.
    pub orders: Vec<Order>,
    /// The table `idempotency_keys`.
    pub keys: Vec<Key>,
    /// The table `outbox`, in the order of `seq`.
    pub outbox: Vec<OutboxEvent>,
    /// The stream, in the order of its sequence.
    pub stream: Vec<Message>,
    /// The table `inbox`.
    pub inbox: Vec<Received>,
    /// The table `notifications`, in the order in which they were written.
    pub notifications: Vec<Notification>,
    /// Messages that no envelope could be read from, and the rows of `inbox_dead`: what each is, and why.
    pub unreadable: Vec<String>,
}

/// A row of `orders`, which an answer of the API shows whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, FromRow, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The order.
    pub id: Uuid,
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// The customer's address.
    pub email: String,
    /// Such as `placed`.
    pub status: String,
    /// What is known of its payment: `due`, for nobody tells of payments.
    pub payment: String,
    /// Of its last event.
    pub version: u32,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When its last event happened.
    pub updated_at: DateTime<Utc>,
}

impl Order {
    /// As its events name it.
    pub(super) fn aggregate_id(&self) -> AggregateId {
        OrderId(self.id).into()
    }

    /// As it was when it was placed, which each answer 201 says.
    pub(super) fn as_placed(&self) -> Order {
        Order {
            status: "placed".to_owned(),
            payment: "due".to_owned(),
            version: 1,
            updated_at: self.created_at,
            ..self.clone()
        }
    }
}

/// A row of `idempotency_keys`.
#[derive(Clone, Debug, FromRow)]
pub struct Key {
    /// The key.
    pub idempotency_key: String,
    /// What it placed.
    pub order_id: Uuid,
}

/// A row of `outbox`.
#[derive(Clone, Debug, FromRow)]
pub struct OutboxEvent {
    /// The event.
    pub event_id: Uuid,
    /// The order.
    pub aggregate_id: AggregateId,
    /// None for a writer that keeps none.
    pub aggregate_version: Option<u32>,
    /// Such as `order.created`.
    pub event_type: String,
    /// What happened.
    pub payload: Json<Value>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// Such as `published`.
    pub state: String,
    /// Failed publishes.
    pub attempts: u32,
    /// Where the row says that the stream has it; 0 if it does not say.
    pub stream_seq: u64,
}

/// A message of the stream.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its place.
    pub sequence: u64,
    /// The subject that it was published to.
    pub subject: String,
    /// Its envelope.
    pub envelope: Envelope,
    /// Its body.
    pub payload: Value,
}

/// A row of `inbox`.
#[derive(Clone, Debug, FromRow)]
pub struct Received {
    /// The event.
    pub event_id: Uuid,
    /// The message that brought it.
    pub stream_seq: u64,
}

/// A row of `notifications`.
#[derive(Clone, Debug, FromRow)]
pub struct Notification {
    /// The notification.
    pub id: Uuid,
    /// The event that it is the effect of.
    pub event_id: Uuid,
    /// Such as `order.created`.
    pub event_type: String,
    /// The order.
    pub order_id: Uuid,
    /// To whom it goes.
    pub recipient: String,
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// Where its email stands.
    pub state: String,
    /// When the effect was written.
    pub created_at: DateTime<Utc>,
}

impl Notification {
    /// As the events name its order.
    pub(super) fn aggregate_id(&self) -> AggregateId {
        OrderId(self.order_id).into()
    }
}

impl Evidence {
    /// Reads everything. Each connection is one of somebody who may read all of its database.
    ///
    /// # Errors
    /// If a server is away or refuses.
    pub async fn read(
        orders: &mut MySqlConnection,
        notifications: &mut MySqlConnection,
        nats: &async_nats::Client,
    ) -> anyhow::Result<Evidence> {
        let mut evidence = Evidence::default();
        evidence.read_orders(orders).await.context("cannot read the orders")?;
        evidence.read_notifications(notifications).await.context("cannot read the notifications")?;
        evidence.read_stream(nats).await.context("cannot read the stream")?;
        Ok(evidence)
    }

    async fn read_orders(&mut self, orders: &mut MySqlConnection) -> sqlx::Result<()> {
        let query = "SELECT id, product, quantity, email, CAST(status AS CHAR) AS status, CAST(payment AS CHAR) AS payment, \
                            version, created_at, updated_at \
                     FROM orders \
                     ORDER BY id";
        self.orders = sqlx::query_as(query).fetch_all(&mut *orders).await?;
        let query = "SELECT CAST(idempotency_key AS CHAR) AS idempotency_key, order_id FROM idempotency_keys";
        self.keys = sqlx::query_as(query).fetch_all(&mut *orders).await?;
        let query = "SELECT event_id, aggregate_id, aggregate_version, event_type, payload, occurred_at, \
                            CAST(state AS CHAR) AS state, attempts, stream_seq \
                     FROM outbox \
                     ORDER BY seq";
        self.outbox = sqlx::query_as(query).fetch_all(orders).await?;
        Ok(())
    }

    async fn read_notifications(&mut self, notifications: &mut MySqlConnection) -> sqlx::Result<()> {
        let query = "SELECT event_id, stream_seq FROM inbox WHERE consumer = ?";
        self.inbox = sqlx::query_as(query).bind(NOTIFY_DURABLE).fetch_all(&mut *notifications).await?;
        // Written by one statement, they have one time and the ids of one process, which makes them in order.
        let query = "SELECT n.id, n.event_id, n.event_type, n.order_id, n.recipient, n.product, n.quantity, \
                            CAST(IF(n.sent_at IS NULL, COALESCE(e.state, 'gone'), 'sent') AS CHAR) AS state, n.created_at \
                     FROM notifications AS n \
                     LEFT JOIN effect AS e ON e.id = n.id \
                     WHERE n.event_type LIKE 'order.%' \
                     ORDER BY n.created_at, n.id";
        self.notifications = sqlx::query_as(query).fetch_all(&mut *notifications).await?;
        let query = "SELECT stream_seq, reason FROM inbox_dead ORDER BY id";
        let dead: Vec<(u64, String)> = sqlx::query_as(query).fetch_all(notifications).await?;
        self.unreadable.extend(dead.iter().map(|(sequence, reason)| format!("message {sequence} is dead: {reason}")));
        Ok(())
    }

    async fn read_stream(&mut self, nats: &async_nats::Client) -> anyhow::Result<()> {
        let stream = jetstream::new(nats.clone()).get_stream(STREAM).await?;
        if stream.cached_info().state.messages == 0 {
            return Ok(());
        }
        let last = stream.cached_info().state.last_sequence;
        let mut messages = reader(&stream).await?;
        loop {
            let message = timeout(NEXT_WITHIN, messages.next()).await.context("no message came")?;
            let message = message.context("the stream's reader ended")??;
            let place = message.info().map_err(anyhow::Error::from_boxed)?;
            let (sequence, pending) = (place.stream_sequence, place.pending);
            match read(&message, sequence) {
                Ok(message) => self.stream.push(message),
                Err(error) => self.unreadable.push(format!("message {sequence} can't be read: {error:#}")),
            }
            if sequence >= last || pending == 0 {
                return Ok(());
            }
        }
    }
}

async fn reader(stream: &Stream) -> anyhow::Result<jetstream::consumer::pull::Ordered> {
    // Whoever may create nameless consumers may change those of others: the operator may not.
    let name = Some(format!("proof-{}", Uuid::now_v7().simple()));
    let consumer = stream.create_consumer(OrderedConfig { name, ..OrderedConfig::default() }).await?;
    Ok(consumer.messages().await?)
}

fn read(message: &jetstream::Message, sequence: u64) -> anyhow::Result<Message> {
    let headers = message.headers.as_ref().context("it has no headers")?;
    let header = |name| headers.get(name).map(async_nats::HeaderValue::as_str);
    Ok(Message {
        sequence,
        subject: message.subject.to_string(),
        envelope: Envelope::from_headers(header)?,
        payload: serde_json::from_slice(&message.payload)?,
    })
}
