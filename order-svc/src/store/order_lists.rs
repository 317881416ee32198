//! The table `orders`, page by page.
//!
//! One statement for each index, named in it: with ORDER BY and LIMIT an optimizer that misjudges how many rows match
//! walks the primary key instead, through all orders. Test `every_list_is_served_by_its_index`.

use chrono::{DateTime, NaiveDate, Utc};
use runtime::mysql::Pool;
use runtime::page::Page;
use schema::ids::OrderId;

use super::orders::{Row, order_rows};
use crate::domain::{CustomerId, Order, OrderFilter};

/// Reads the orders of a page and one more if there is one, newest first. Locks nothing.
///
/// # Errors
/// As the database has it, or if a row holds what this version of the code does not know.
pub async fn page(pool: &Pool, filter: &OrderFilter, page: Page) -> sqlx::Result<Vec<Order>> {
    let rows = match (&filter.customer, &filter.email, filter.status) {
        (Some(customer), ..) => by_customer(pool, filter, page, customer).await?,
        (None, Some(email), _) => by_email(pool, filter, page, email).await?,
        (None, None, Some(status)) => by_status(pool, filter, page, status.as_str()).await?,
        (None, None, None) => all(pool, filter, page).await?,
    };
    rows.into_iter().map(Row::into_order).collect()
}

/// The rows of a page among those that the FROM clause and the first conditions leave.
macro_rules! listed {
    ($pool:expr, $filter:expr, $page:expr, $from:literal, $($value:expr),*) => {{
        let ((first, end), (from, to)) = (ids($filter, $page), span($filter));
        order_rows!(
            $from + "
             AND id >= ?
             AND id < ?
             AND created_at >= ?
             AND created_at < ?
           ORDER BY id DESC
           LIMIT ?",
            $($value,)*
            first,
            end,
            from,
            to,
            $page.rows_max(),
        )
        .fetch_all($pool)
        .await
    }};
}

async fn by_customer(pool: &Pool, filter: &OrderFilter, page: Page, customer: &CustomerId) -> sqlx::Result<Vec<Row>> {
    let (customer, status) = (customer.as_str(), filter.status.map(|status| status.as_str()));
    listed!(
        pool,
        filter,
        page,
        "FROM orders FORCE INDEX (by_customer)
           WHERE customer = ?
             AND status = COALESCE(?, status)",
        customer,
        status
    )
}

async fn by_email(pool: &Pool, filter: &OrderFilter, page: Page, email: &str) -> sqlx::Result<Vec<Row>> {
    let status = filter.status.map(|status| status.as_str());
    listed!(
        pool,
        filter,
        page,
        "FROM orders FORCE INDEX (by_email)
           WHERE email_lower = LOWER(?)
             AND status = COALESCE(?, status)",
        email,
        status
    )
}

async fn by_status(pool: &Pool, filter: &OrderFilter, page: Page, status: &str) -> sqlx::Result<Vec<Row>> {
    listed!(pool, filter, page, "FROM orders FORCE INDEX (by_status) WHERE status = ?", status)
}

async fn all(pool: &Pool, filter: &OrderFilter, page: Page) -> sqlx::Result<Vec<Row>> {
    listed!(pool, filter, page, "FROM orders FORCE INDEX (PRIMARY) WHERE TRUE",)
}

/// Where the page begins and where the span of time ends, whichever comes first.
fn ids(filter: &OrderFilter, page: Page) -> (OrderId, OrderId) {
    let (first, end) = filter.ids();
    (first, OrderId(end.0.min(page.below)))
}

/// The span of time to the microsecond; the span of ids, which finds the rows, is to the millisecond.
fn span(filter: &OrderFilter) -> (DateTime<Utc>, DateTime<Utc>) {
    let year =
        |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("years have a first day").and_time(chrono::NaiveTime::MIN);
    // What DATETIME can hold.
    let (first, last) = (year(1000).and_utc(), year(9999).and_utc());
    let bounded = |time: Option<DateTime<Utc>>, default: DateTime<Utc>| time.unwrap_or(default).clamp(first, last);
    (bounded(filter.created_from, first), bounded(filter.created_to, last))
}
