//! The bare transaction: what the database does for an order, and nothing else.
//!
//! The statements are order-svc's own, the pool has its settings, and the payload is made beforehand.
//! It runs on as many threads as the service does.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{SubsecRound, Utc};
use runtime::config::Secret;
use runtime::mysql::{self, DatabaseConfig, DatabaseTls, Pool};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::round::Round;

const PAYLOAD: &str = r#"{"schema_version":1,"order_id":"019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10","product":"Espresso machine","quantity":2,"email":"ada@example.com","placed_at":"2026-11-22T11:30:00.123456Z"}"#;

pub(super) struct Bare {
    pool: Pool,
    /// Ours: the program's own runtime has one thread.
    threads: Option<Runtime>,
}

impl Bare {
    pub(super) fn new(url: &str, connections: u32) -> anyhow::Result<Bare> {
        let threads = Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
        let config = DatabaseConfig {
            database_url: Secret::from(url.to_owned()),
            database_tls: DatabaseTls::default(),
            database_connections_max: connections,
            database_acquire_timeout: Duration::from_secs(3),
        };
        let pool = {
            let _on_its_threads = threads.enter();
            mysql::pool(&config).context("the URL is ours")?
        };
        Ok(Bare { pool, threads: Some(threads) })
    }

    /// Commits one order after the other until the time is over, `clients` at once.
    pub(super) async fn run(&self, clients: usize, round: Duration) -> anyhow::Result<Round> {
        let threads = self.threads.as_ref().context("it is not closed")?;
        let began = Instant::now();
        let running: Vec<_> =
            (0..clients).map(|_| threads.spawn(place_until(self.pool.clone(), began + round))).collect();
        let mut latencies = Vec::new();
        for client in running {
            latencies.push(client.await.context("a client panicked")??);
        }
        Ok(Round::new(latencies, began.elapsed()))
    }

    pub(super) fn close(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

async fn place_until(pool: Pool, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let began = Instant::now();
        if began >= until {
            return Ok(latencies);
        }
        place(&pool).await.context("the bare transaction failed")?;
        latencies.push(began.elapsed());
    }
}

async fn place(pool: &Pool) -> sqlx::Result<()> {
    let (id, event_id, at) = (Uuid::now_v7(), Uuid::now_v7(), Utc::now().trunc_subsecs(6));
    let mut tx = pool.begin().await?;
    sqlx::query(
        "INSERT INTO orders (id, product, quantity, email, status, version, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind("Espresso machine")
    .bind(2)
    .bind("ada@example.com")
    .bind("placed")
    .bind(1)
    .bind(at)
    .bind(at)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject,
                             payload, headers, occurred_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(event_id)
    .bind("order")
    .bind(id.to_string())
    .bind(1)
    .bind("order.created")
    .bind("order.created")
    .bind(PAYLOAD)
    .bind(None::<String>)
    .bind(at)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
