//! How many orders a customer may place within an hour, and with one address: each sends mail to it.
//!
//! Counted in the database, among what is committed, so for all replicas together; what is placed at the same moment may exceed it, and
//! so may the first order of a customer in each process (see `seen.rs`). Ids tell the time: they are UUIDv7, and the indexes of the lists end
//! in them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::Transaction;
use schema::ids::OrderId;
use uuid::Uuid;

use crate::domain::Order;
use crate::store::order_counts;

pub(crate) const WINDOW: Duration = Duration::from_secs(3600);

/// Orders of one customer, and with one address, within an hour.
#[derive(Clone, Copy, Debug)]
pub struct Bound(pub NonZeroU32);

impl Bound {
    /// When there will be room for an order that this transaction has inserted; none if there is.
    ///
    /// # Errors
    /// As the database has it.
    pub async fn wait(self, tx: &mut Transaction, order: &Order) -> sqlx::Result<Option<Duration>> {
        let in_the_way = order_counts::at(tx, order, begin(order.created_at), self.0.get()).await?;
        Ok(in_the_way.map(|earlier| until_it_leaves(earlier, order.created_at)))
    }

    /// Which of these orders, that are not inserted yet, might be too many: so near to the bound are their customers and addresses
    /// that all of the most frequent one together might exceed it.
    ///
    /// # Errors
    /// As the database has it.
    pub async fn near(self, tx: &mut Transaction, orders: &[&Order]) -> sqlx::Result<HashSet<OrderId>> {
        let Some(first) = orders.first() else { return Ok(HashSet::new()) };
        let Some(room) = self.0.get().checked_sub(most_of_one(orders)) else {
            return Ok(orders.iter().map(|order| order.id).collect());
        };
        let places = order_counts::above(tx, orders, begin(first.created_at), room).await?;
        Ok(places.into_iter().map(|place| orders[place].id).collect())
    }
}

/// How many of the orders one customer, or one address, has at most.
fn most_of_one(orders: &[&Order]) -> u32 {
    let mut counts = HashMap::<_, u32>::new();
    for key in orders.iter().flat_map(|order| keys(order)) {
        *counts.entry(key).or_default() += 1;
    }
    counts.into_values().max().unwrap_or_default()
}

/// By what an order is counted: its address, in lower case as in the database, and its customer.
pub(crate) fn keys(order: &Order) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let customer = order.customer.as_ref().map(|customer| ("customer", customer.as_str().into()));
    order.email.as_ref().map(|address| ("address", address.to_lowercase().into())).into_iter().chain(customer)
}

/// Before all ids of the hour until then.
fn begin(now: DateTime<Utc>) -> OrderId {
    let milliseconds = (now - WINDOW).timestamp_millis();
    OrderId(Uuid::from_u128(u128::from(milliseconds.unsigned_abs()) << 80))
}

/// How long until an order is an hour old.
fn until_it_leaves(OrderId(id): OrderId, now: DateTime<Utc>) -> Duration {
    let placed = id.get_timestamp().map_or(0, |timestamp| timestamp.to_unix().0);
    let leaves = placed.saturating_add(WINDOW.as_secs());
    Duration::from_secs(leaves.saturating_sub(now.timestamp().unsigned_abs()) + 1)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_window_is_the_hour_before_an_order() {
        let now = Utc::now();
        let id = |before: TimeDelta| {
            let at = now - before;
            let timestamp =
                uuid::Timestamp::from_unix(uuid::NoContext, at.timestamp().unsigned_abs(), at.timestamp_subsec_nanos());
            OrderId(Uuid::new_v7(timestamp))
        };
        assert!(begin(now) < id(TimeDelta::minutes(59)));
        assert!(begin(now) > id(TimeDelta::minutes(61)));
        let wait = until_it_leaves(id(TimeDelta::minutes(59)), now).as_secs();
        assert!((60..=62).contains(&wait), "{wait}");
        assert!(until_it_leaves(id(TimeDelta::hours(2)), now).as_secs() == 1);
    }
}
