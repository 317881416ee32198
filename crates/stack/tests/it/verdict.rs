//! What has to be true at the end, whatever happened: nothing is lost, nothing is doubled, nothing is out of order.

use std::time::Duration;

use sqlx::MySqlPool;
use stack::proof::{Asked, Claim, Evidence, check};
use stack::testing::{Nats, eventually_within};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until all events are published and have had their effect, and compares tables and stream with what was answered.
pub(crate) async fn every_event_once_and_in_order(
    orders: &MySqlPool,
    notifications: &MySqlPool,
    nats_url: &str,
    asked: &[Asked],
) {
    until_drained(orders, notifications).await;
    let evidence = evidence(orders, notifications, nats_url).await;
    let violated: Vec<Claim> = check(asked, &evidence).into_iter().filter(|claim| !claim.holds()).collect();
    assert!(violated.is_empty(), "{violated:#?}");
}

/// Waits until every event is published and notified, and every email sent.
pub(crate) async fn until_drained(orders: &MySqlPool, notifications: &MySqlPool) {
    let count = async |pool: &MySqlPool, query: &'static str| {
        sqlx::query_scalar::<_, i64>(query).fetch_one(pool).await.unwrap()
    };
    eventually_within(PATIENCE, "every event is published", async || {
        count(orders, "SELECT COUNT(*) FROM outbox WHERE state = 'pending'").await == 0
    })
    .await;
    let events = count(orders, "SELECT COUNT(*) FROM outbox").await;
    eventually_within(PATIENCE, "every event has had its effect", async || {
        count(notifications, "SELECT COUNT(*) FROM notifications WHERE sent_at IS NOT NULL").await == events
    })
    .await;
}

pub(crate) async fn evidence(orders: &MySqlPool, notifications: &MySqlPool, nats_url: &str) -> Evidence {
    let (mut orders, mut notifications) = (orders.acquire().await.unwrap(), notifications.acquire().await.unwrap());
    Evidence::read(&mut orders, &mut notifications, &Nats::admin(nats_url).await).await.unwrap()
}
