//! A group of orders as one bare transaction: two INSERTs of as many rows, one COMMIT.

use std::time::Instant;

use anyhow::Context;
use chrono::{SubsecRound, Utc};
use runtime::mysql::Pool;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::basket::{Basket, PAYLOAD};

/// Commits one group after the other until the time is over; how many.
pub(super) async fn place_until(pool: Pool, size: usize, until: Instant) -> anyhow::Result<usize> {
    let list = |row: &str| vec![row; size].join(", ");
    let orders = format!(
        "INSERT INTO orders (id, product, quantity, email, status, version, created_at, updated_at) VALUES {}",
        list("(?, ?, ?, ?, ?, ?, ?, ?)")
    );
    let outbox = format!(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, headers,
                             occurred_at)
         VALUES {}",
        list("(?, ?, ?, ?, ?, ?, ?, ?, ?)")
    );
    let mut groups = 0;
    while Instant::now() < until {
        place(&pool, &orders, &outbox, size).await.context("the bare group failed")?;
        groups += 1;
    }
    Ok(groups)
}

async fn place(pool: &Pool, orders: &str, outbox: &str, size: usize) -> sqlx::Result<()> {
    let at = Utc::now().trunc_subsecs(6);
    let ids: Vec<Uuid> = (0..size).map(|_| Uuid::now_v7()).collect();
    let mut tx = pool.begin().await?;
    let mut insert = sqlx::query(AssertSqlSafe(orders));
    for id in &ids {
        let Basket { product, email } = Basket::random();
        insert = insert.bind(id).bind(product).bind(2).bind(email).bind("placed").bind(1).bind(at).bind(at);
    }
    insert.execute(&mut tx).await?;
    let mut insert = sqlx::query(AssertSqlSafe(outbox));
    for id in &ids {
        insert = insert.bind(Uuid::now_v7()).bind("order").bind(id.to_string()).bind(1).bind("order.created");
        insert = insert.bind("order.created").bind(PAYLOAD).bind(None::<String>).bind(at);
    }
    insert.execute(&mut tx).await?;
    tx.commit().await
}
