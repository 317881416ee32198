//! What takes too long: each such delay fires its alert. Ages of hours are written into the rows.

use std::fs;
use std::time::Duration;

use sqlx::MySqlPool;
use stack::smtp::{Fault, Stage};
use tokio::task::JoinSet;

use super::watched::{Event, Watched};

/// Requests that wait at once, at most: more than there are connections.
const WAITING_MAX: usize = 40;

#[tokio::test]
async fn each_delay_fires_its_alert() {
    let mut watched = Watched::start().await;
    watched.place("ada@example.com").await.unwrap();
    let hour_old = || Event { age: Duration::from_secs(3600), ..Event::created() };
    watched.until_doing(&["EffectsLateFast", "EffectsLateSlow"], async || watched.append(&hour_old()).await).await;

    watched.smtp.fail(Stage::Mail, Fault::Say("421 4.3.2 closed for the day"));
    let away = watched.provider.with_extension("away");
    fs::rename(&watched.provider, &away).unwrap();
    let databases = [watched.notifications.admin_pool().await, watched.payments.admin_pool().await];
    let place_and_age = async || {
        drop(watched.place("ada@example.com").await);
        for database in &databases {
            age_effects(database).await;
        }
    };
    watched.until_doing(&["EmailsOld", "PaymentEffectsOld"], place_and_age).await;
    fs::rename(&away, &watched.provider).unwrap();
    watched.smtp.heal();

    let orders = watched.admin.clone();
    lock_out_orders(&watched, &orders).await;
    watched.until_no("PoolSaturated").await;

    watched.nats.stop().await;
    watched.append(&hour_old()).await;
    watched.until(&["OutboxBacklogOld"]).await;
    watched.nats.restart().await;
    watched.until_no("OutboxBacklogOld").await;
}

/// As if what waits had been enqueued an hour ago.
async fn age_effects(database: &MySqlPool) {
    let aged = "UPDATE effect SET created_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR WHERE state = 'pending'";
    sqlx::query(aged).execute(database).await.unwrap();
}

/// Customers order while a person's session keeps the table locked.
async fn lock_out_orders(watched: &Watched, orders: &MySqlPool) {
    let mut session = orders.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES orders WRITE").execute(&mut *session).await.unwrap();
    let mut waiting = JoinSet::new();
    let alerts = ["PoolSaturated", "ApiSlow", "OrdersSlowFast", "OrdersSlowSlow"];
    watched
        .until_doing(&alerts, async || {
            while waiting.try_join_next().is_some() {}
            if waiting.len() < WAITING_MAX {
                waiting.spawn(watched.asking());
            }
        })
        .await;
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *session).await.unwrap();
    waiting.join_all().await;
}
