//! One customer's rows of `orders`, and `customer_action`, the record of who exported and erased them. The record has no address:
//! its digest tells whether it is about one that somebody names.

use runtime::mysql::{Pool, Transaction};
use runtime::operator::decision::By;
use schema::ids::OrderId;
use sqlx::query;
use sqlx::types::Json;

use super::orders::{Row, order_rows};
use crate::domain::{CustomerId, Order, Subject};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was printed.
    Export,
    /// The address was erased.
    Erase,
}

impl Action {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Erase => "erase",
        }
    }
}

macro_rules! page_rows {
    ($pool:expr, $from:literal, $subject:expr, $after:expr, $limit:expr) => {
        order_rows!($from + " AND id > ? ORDER BY id LIMIT ?", $subject, $after, $limit).fetch_all($pool).await?
    };
}

/// The orders above one, `limit` at most, by id. Locks nothing.
///
/// # Errors
/// As the database has it, or if a row holds what this version of the code does not know.
pub async fn page(pool: &Pool, subject: &Subject, after: OrderId, limit: u32) -> sqlx::Result<Vec<Order>> {
    let rows = match subject {
        Subject::Customer(customer) => {
            page_rows!(
                pool,
                "FROM orders FORCE INDEX (by_customer) WHERE customer = ?",
                customer.as_str(),
                after,
                limit
            )
        }
        Subject::Address(address) => {
            page_rows!(pool, "FROM orders FORCE INDEX (by_email) WHERE email_lower = LOWER(?)", address, after, limit)
        }
    };
    rows.into_iter().map(Row::into_order).collect()
}

/// Erases the addresses of these orders, and says how many had one. Locks their rows until the transaction ends.
///
/// # Errors
/// As the database has it.
pub async fn erase(tx: &mut Transaction, orders: &[OrderId]) -> sqlx::Result<u64> {
    let ids: Vec<_> = orders.iter().map(|order| order.0.simple()).collect();
    let erased = query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$')) AS list
         STRAIGHT_JOIN orders AS o ON o.id = UNHEX(list.id)
         SET o.email = NULL
         WHERE o.email IS NOT NULL",
        Json(ids),
    )
    .execute(&mut *tx)
    .await?;
    Ok(erased.rows_affected())
}

/// Records what was done to so many orders. Locks nothing that others want.
///
/// # Errors
/// As the database has it.
pub async fn record(
    tx: &mut Transaction,
    action: Action,
    (subject, orders): (&Subject, u64),
    by: By<'_>,
) -> sqlx::Result<()> {
    let (customer, address) = match subject {
        Subject::Customer(customer) => (Some(CustomerId::as_str(customer)), None),
        Subject::Address(address) => (None, Some(address)),
    };
    query!(
        "INSERT INTO customer_action (actor, action, customer, address_sha256, orders, reason)
         VALUES (?, ?, ?, UNHEX(SHA2(LOWER(?), 256)), ?, ?)",
        by.actor,
        action.as_str(),
        customer,
        address,
        orders,
        by.reason,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}
