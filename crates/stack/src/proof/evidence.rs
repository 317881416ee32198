//! What is there: the rows of the databases, the messages of the streams and the provider's books, as they are, read without any
//! service.

mod log;
mod payments;

use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use schema::aggregate::AggregateId;
use schema::ids::OrderId;
use schema::names;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, MySqlConnection};
use uuid::Uuid;

pub(super) use log::Log;
pub use log::{Message, OutboxEvent};
pub use payments::{Intent, Payment, Payments, ProviderEffect, Purpose};

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
    /// The order events in notify-svc's table `inbox`.
    pub inbox: Vec<Uuid>,
    /// The table `notifications`, in the order in which they were written.
    pub notifications: Vec<Notification>,
    /// Messages that no envelope could be read from, and the rows of `inbox_dead`: what each is, and why.
    pub unreadable: Vec<String>,
    /// What there is of the payments, if the pipeline has any.
    pub payments: Option<Payments>,
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
    /// What is known of its payment, such as `due`.
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

    /// As if nothing were known of its payment, which goes on by itself.
    pub(super) fn but_payment(&self) -> Order {
        Order { payment: "due".to_owned(), ..self.clone() }
    }

    /// As it was when it was placed, which each answer 201 says.
    pub(super) fn as_placed(&self) -> Order {
        Order { status: "placed".to_owned(), version: 1, updated_at: self.created_at, ..self.but_payment() }
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
    /// Reads what there is of the orders. Each connection is one of somebody who may read all of its database.
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
        evidence.stream = log::stream(nats, names::STREAM, &mut evidence.unreadable).await?;
        Ok(evidence)
    }

    /// Reads what there is of the payments, too. The books are the folder of the simulated provider.
    ///
    /// # Errors
    /// If a server is away or refuses, or the books can't be read.
    pub async fn with_payments(
        mut self,
        (orders, notifications, payments): (&mut MySqlConnection, &mut MySqlConnection, &mut MySqlConnection),
        nats: &async_nats::Client,
        books: &Path,
    ) -> anyhow::Result<Evidence> {
        let mut found = Payments::read(orders, payments, books).await.context("cannot read the payments")?;
        found.heard = log::inbox(notifications, names::NOTIFY_PAYMENTS_DURABLE).await?;
        self.read_dead(notifications, names::NOTIFY_PAYMENTS_DURABLE).await.context("cannot read the notifications")?;
        self.read_dead(payments, names::PAYMENT_DURABLE).await.context("cannot read the payments")?;
        self.read_dead(orders, names::ORDERS_DURABLE).await.context("cannot read the orders")?;
        found.stream = log::stream(nats, names::PAYMENTS_STREAM, &mut self.unreadable).await?;
        Ok(Evidence { payments: Some(found), ..self })
    }

    async fn read_orders(&mut self, orders: &mut MySqlConnection) -> sqlx::Result<()> {
        let query = "SELECT id, product, quantity, email, CAST(status AS CHAR) AS status, CAST(payment AS CHAR) AS payment, \
                            version, created_at, updated_at \
                     FROM orders \
                     ORDER BY id";
        self.orders = sqlx::query_as(query).fetch_all(&mut *orders).await?;
        let query = "SELECT CAST(idempotency_key AS CHAR) AS idempotency_key, order_id FROM idempotency_keys";
        self.keys = sqlx::query_as(query).fetch_all(&mut *orders).await?;
        self.outbox = log::outbox(orders).await?;
        Ok(())
    }

    async fn read_notifications(&mut self, notifications: &mut MySqlConnection) -> sqlx::Result<()> {
        self.inbox = log::inbox(notifications, names::NOTIFY_DURABLE).await?;
        // Written by one statement, they have one time and the ids of one process, which makes them in order.
        let query = "SELECT n.id, n.event_id, n.event_type, n.order_id, n.product, n.quantity, \
                            CAST(IF(n.sent_at IS NULL, COALESCE(e.state, 'gone'), 'sent') AS CHAR) AS state, n.created_at \
                     FROM notifications AS n \
                     LEFT JOIN effect AS e ON e.id = n.id \
                     ORDER BY n.created_at, n.id";
        self.notifications = sqlx::query_as(query).fetch_all(&mut *notifications).await?;
        self.read_dead(notifications, names::NOTIFY_DURABLE).await
    }

    async fn read_dead(&mut self, database: &mut MySqlConnection, consumer: &str) -> sqlx::Result<()> {
        let query = "SELECT stream_seq, reason FROM inbox_dead WHERE consumer = ? ORDER BY id";
        let dead: Vec<(u64, String)> = sqlx::query_as(query).bind(consumer).fetch_all(database).await?;
        let told = |(sequence, reason)| format!("message {sequence} is dead for {consumer}: {reason}");
        self.unreadable.extend(dead.into_iter().map(told));
        Ok(())
    }

    /// The outbox of each database with its stream.
    pub(super) fn logs(&self) -> Vec<Log<'_>> {
        let (source, aggregate_type) = (names::ORDERS_SOURCE, names::ORDER);
        let orders = Log { outbox: &self.outbox, stream: &self.stream, source, aggregate_type };
        [orders].into_iter().chain(self.payments.as_ref().map(Payments::log)).collect()
    }

    /// The events of every outbox.
    pub(super) fn events(&self) -> impl Iterator<Item = &OutboxEvent> {
        self.logs().into_iter().flat_map(|log| log.outbox)
    }
}
