//! The table `orders`.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use runtime::mysql::rows::{self, Inserts};
use runtime::mysql::{Pool, Transaction};
use schema::ids::OrderId;
use sqlx::query;

use super::Receipt;
use crate::domain::{CustomerId, Order, OrderStatus, PaymentState};

static INSERTS: Inserts = runtime::inserts!(
    "INSERT INTO orders (id, customer, product, quantity, email, status, version, created_at, updated_at) VALUES ",
    "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

/// Inserts orders. Locks their rows, which nobody can see yet.
///
/// # Errors
/// As the database has it; if one of them is there, [`Receipt::Duplicate`].
pub async fn insert(tx: &mut Transaction, orders: &[&Order]) -> sqlx::Result<Receipt> {
    for (insert, orders) in rows::pieces(&INSERTS, orders) {
        let mut insert = query(insert);
        for order in orders {
            insert = insert
                .bind(order.id)
                .bind(order.customer.as_ref().map(CustomerId::as_str))
                .bind(&order.product)
                .bind(order.quantity)
                .bind(&order.email)
                .bind(order.status.as_str())
                .bind(order.version.get())
                .bind(order.created_at)
                .bind(order.updated_at);
        }
        if Receipt::of(insert.execute(&mut *tx).await)? == Receipt::Duplicate {
            return Ok(Receipt::Duplicate);
        }
    }
    Ok(Receipt::First)
}

/// `query_as!` of [`Row`]s, from the FROM clause on.
macro_rules! order_rows {
    ($sql:literal $(+ $more:literal)*, $($value:expr),* $(,)?) => {
        sqlx::query_as!(
            super::orders::Row,
            r#"SELECT id AS "id: schema::ids::OrderId", customer, product, quantity, email, status, payment, version,
                  created_at AS "created_at: chrono::DateTime<chrono::Utc>",
                  updated_at AS "updated_at: chrono::DateTime<chrono::Utc>"
           "# + $sql $(+ $more)*,
            $($value),*
        )
    };
}
pub(super) use order_rows;

/// Reads an order. Locks nothing.
///
/// # Errors
/// As the database has it, or if the row holds what this version of the code does not know.
pub async fn find(pool: &Pool, id: OrderId) -> sqlx::Result<Option<Order>> {
    let row = order_rows!("FROM orders WHERE id = ?", id).fetch_optional(pool).await?;
    row.map(Row::into_order).transpose()
}

/// Reads an order and locks its row until the transaction ends: whoever wants to change it too waits here.
///
/// # Errors
/// As [`find`].
pub async fn lock(tx: &mut Transaction, id: OrderId) -> sqlx::Result<Option<Order>> {
    let row = order_rows!("FROM orders WHERE id = ? FOR UPDATE", id).fetch_optional(&mut *tx).await?;
    row.map(Row::into_order).transpose()
}

/// Writes the status, version and time of an order that [`lock`] read and a transition advanced. Locks nothing more.
///
/// # Errors
/// As the database has it; [`sqlx::Error::RowNotFound`] if the row is not at the version `before`.
pub async fn advance(tx: &mut Transaction, order: &Order, before: NonZeroU32) -> sqlx::Result<()> {
    let result = query!(
        "UPDATE orders
         SET status = ?, version = ?, updated_at = ?
         WHERE id = ?
           AND version = ?",
        order.status.as_str(),
        order.version.get(),
        order.updated_at,
        order.id,
        before.get(),
    )
    .execute(&mut *tx)
    .await?;
    if result.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

/// Writes what was told about the payment of an order that [`lock`] read. It is no event of the order: its version stays.
///
/// # Errors
/// As the database has it.
pub async fn set_payment(tx: &mut Transaction, id: OrderId, payment: PaymentState) -> sqlx::Result<()> {
    query!("UPDATE orders SET payment = ? WHERE id = ?", payment.as_str(), id).execute(&mut *tx).await?;
    Ok(())
}

/// A row as it is read, its words not yet understood.
pub(super) struct Row {
    pub(super) id: OrderId,
    pub(super) customer: Option<String>,
    pub(super) product: String,
    pub(super) quantity: u32,
    pub(super) email: Option<String>,
    pub(super) status: String,
    pub(super) payment: String,
    pub(super) version: u32,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
}

/// A row that says version 0, which no transition assigns.
#[derive(Debug, thiserror::Error)]
#[error("column version of table orders is 0 for id {0}")]
struct NoVersion(OrderId);

impl Row {
    pub(super) fn into_order(self) -> sqlx::Result<Order> {
        let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
        let version = NonZeroU32::new(self.version).ok_or_else(|| decode(NoVersion(self.id).into()))?;
        Ok(Order {
            status: OrderStatus::read(self.id, &self.status).map_err(|error| decode(error.into()))?,
            payment: PaymentState::read(self.id, &self.payment).map_err(|error| decode(error.into()))?,
            version,
            id: self.id,
            customer: self.customer.map(CustomerId::new),
            product: self.product,
            quantity: self.quantity,
            email: self.email,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
