//! The table `orders`: how many there are of a customer or with an address since a time, counted no further than a bound, by the
//! indexes of the lists alone. Locks nothing.

use runtime::mysql::Transaction;
use schema::ids::OrderId;
use sqlx::query_scalar;
use sqlx::types::Json;

use crate::domain::{CustomerId, Order};

/// The order behind the `place` newest ones after `since`, of this order's customer or with its address; the later of the two.
///
/// # Errors
/// As the database has it.
pub async fn at(tx: &mut Transaction, order: &Order, since: OrderId, place: u32) -> sqlx::Result<Option<OrderId>> {
    query_scalar!(
        r#"SELECT MAX(id) AS "id: OrderId"
           FROM ((SELECT id
                  FROM orders FORCE INDEX (by_email)
                  WHERE email_lower = LOWER(?) AND id > ?
                  ORDER BY id DESC
                  LIMIT 1 OFFSET ?)
                 UNION ALL
                 (SELECT id
                  FROM orders FORCE INDEX (by_customer)
                  WHERE customer = ? AND id > ?
                  ORDER BY id DESC
                  LIMIT 1 OFFSET ?)) AS found"#,
        order.email,
        since,
        place,
        order.customer.as_ref().map(CustomerId::as_str),
        since,
        place,
    )
    .fetch_one(&mut *tx)
    .await
}

/// Which of these orders, by their places, have a customer or an address with more than `room` orders after `since`.
///
/// # Errors
/// As the database has it.
pub async fn above(tx: &mut Transaction, orders: &[&Order], since: OrderId, room: u32) -> sqlx::Result<Vec<usize>> {
    let list = orders.iter().enumerate();
    let list: Vec<_> =
        list.map(|(place, order)| (place, &order.email, order.customer.as_ref().map(CustomerId::as_str))).collect();
    let places = query_scalar!(
        r#"SELECT list.place AS "place!: u32"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (place    INT UNSIGNED                       PATH '$[0]',
                                              email    VARCHAR(254) CHARACTER SET utf8mb4 PATH '$[1]',
                                              customer VARCHAR(255) CHARACTER SET ascii   PATH '$[2]')) AS list
           WHERE (SELECT 1
                  FROM orders FORCE INDEX (by_email)
                  WHERE orders.email_lower = LOWER(list.email) AND orders.id > ?
                  LIMIT 1 OFFSET ?) IS NOT NULL
              OR (SELECT 1
                  FROM orders FORCE INDEX (by_customer)
                  WHERE orders.customer = list.customer AND orders.id > ?
                  LIMIT 1 OFFSET ?) IS NOT NULL"#,
        Json(list),
        since,
        room,
        since,
        room,
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(places.into_iter().map(|place| place as usize).collect())
}
