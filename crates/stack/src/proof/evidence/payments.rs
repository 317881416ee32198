//! What is there of the payments: payment-svc's rows, what order-svc was told, and the books of the simulated provider, which no
//! database of ours can talk into anything.

use std::fs;
use std::path::Path;

use anyhow::Context;
use schema::names;
use serde::Deserialize;
use serde_json::Value;
use sqlx::{FromRow, MySqlConnection};
use uuid::Uuid;

use super::log::{self, Log, Message, OutboxEvent};

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Payments {
    /// The table `payments`.
    pub rows: Vec<Payment>,
    /// The table `effect`: what was asked of the provider.
    pub effects: Vec<ProviderEffect>,
    /// The provider's books.
    pub books: Vec<Intent>,
    /// The table `outbox`, in the order of `seq`.
    pub outbox: Vec<OutboxEvent>,
    /// The stream of the payments, in the order of its sequence.
    pub stream: Vec<Message>,
    /// The order events in payment-svc's table `inbox`.
    pub inbox: Vec<Uuid>,
    /// The payment events in order-svc's table `inbox`.
    pub told: Vec<Uuid>,
    /// The payment events in notify-svc's table `inbox`.
    pub heard: Vec<Uuid>,
}

/// A row of `payments`.
#[derive(Clone, Debug, FromRow)]
pub struct Payment {
    /// The payment.
    pub id: Uuid,
    /// The order that it pays.
    pub order_id: Uuid,
    /// In the currency's minor unit.
    pub amount_minor: u64,
    /// Such as `authorized`.
    pub state: String,
    /// Of its last event.
    pub version: u32,
}

/// A row of `effect`.
#[derive(Clone, Debug, FromRow)]
pub struct ProviderEffect {
    /// The payment.
    pub subject: String,
    /// Such as `charge`.
    pub kind: String,
    /// Such as `done`.
    pub state: String,
    /// Why not yet.
    pub last_error: Option<String>,
}

/// An intent in the provider's books.
#[derive(Clone, Debug)]
pub struct Intent {
    /// What the provider calls it.
    pub id: String,
    /// What for.
    pub purpose: Purpose,
    /// Whether its money was taken.
    pub is_charged: bool,
    /// Whether it was given back.
    pub is_refunded: bool,
}

/// What an intent is for.
#[derive(Clone, Debug, Deserialize)]
pub struct Purpose {
    /// The order.
    pub order_id: Uuid,
    /// The payment.
    pub reference: Uuid,
    /// In the currency's minor unit.
    pub amount_minor: u64,
}

impl Payments {
    /// Reads them. The books are the folder of the simulated provider.
    pub(super) async fn read(
        orders: &mut MySqlConnection,
        payments: &mut MySqlConnection,
        books: &Path,
    ) -> anyhow::Result<Payments> {
        let query =
            "SELECT id, order_id, amount_minor, CAST(state AS CHAR) AS state, version FROM payments ORDER BY id";
        let rows = sqlx::query_as(query).fetch_all(&mut *payments).await?;
        let query = "SELECT CAST(subject AS CHAR) AS subject, CAST(kind AS CHAR) AS kind, CAST(state AS CHAR) AS state, last_error \
                     FROM effect \
                     ORDER BY id";
        Ok(Payments {
            rows,
            effects: sqlx::query_as(query).fetch_all(&mut *payments).await?,
            books: read_books(books).with_context(|| format!("cannot read the books in {}", books.display()))?,
            outbox: log::outbox(payments).await?,
            stream: Vec::new(),
            inbox: log::inbox(payments, names::PAYMENT_DURABLE).await?,
            told: log::inbox(orders, names::ORDERS_DURABLE).await?,
            heard: Vec::new(),
        })
    }

    pub(super) fn log(&self) -> Log<'_> {
        let (source, aggregate_type) = (names::PAYMENTS_SOURCE, names::PAYMENT);
        Log { outbox: &self.outbox, stream: &self.stream, source, aggregate_type }
    }
}

/// A file for each intent, and one beside it for how it ended, and for its refund.
fn read_books(folder: &Path) -> anyhow::Result<Vec<Intent>> {
    let mut intents = Vec::new();
    for file in fs::read_dir(folder)? {
        let name = file?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".intent.json")) else { continue };
        let purpose = serde_json::from_slice(&fs::read(folder.join(&name))?)?;
        let outcome = |kind: &str| -> anyhow::Result<Value> {
            let path = folder.join(format!("{id}.{kind}.json"));
            if !path.exists() {
                return Ok(Value::Null);
            }
            Ok(serde_json::from_slice::<Value>(&fs::read(path)?)?["outcome"].take())
        };
        let is_charged = outcome("outcome")? == "charged";
        let is_refunded = outcome("refund")? == "refunded";
        intents.push(Intent { id: id.to_owned(), purpose, is_charged, is_refunded });
    }
    Ok(intents)
}
