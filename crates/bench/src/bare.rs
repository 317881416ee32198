//! The bare transaction: what the database does for an order, or for a group of them, and nothing else.
//!
//! The statements are order-svc's own, the pool has its settings, and the payload is made beforehand.
//! It runs on as many threads as the service does.

mod group;

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{SubsecRound, Utc};
use runtime::config::Secret;
use runtime::mysql::{self, DatabaseConfig, DatabaseTls, Pool};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::basket::{Basket, PAYLOAD};
use crate::round::Round;

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

    /// Orders a second in groups of so many, one after the other on each of `lanes` connections.
    pub(super) async fn run_groups(&self, size: usize, lanes: usize, round: Duration) -> anyhow::Result<f64> {
        let threads = self.threads.as_ref().context("it is not closed")?;
        let began = Instant::now();
        let until = began + round;
        let running: Vec<_> =
            (0..lanes).map(|_| threads.spawn(group::place_until(self.pool.clone(), size, until))).collect();
        let mut groups = 0;
        for lane in running {
            groups += lane.await.context("a lane panicked")??;
        }
        Ok((groups * size) as f64 / began.elapsed().as_secs_f64())
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
    let Basket { product, email } = Basket::random();
    let mut tx = pool.begin().await?;
    sqlx::query(
        "INSERT INTO orders (id, product, quantity, email, status, version, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(product)
    .bind(2)
    .bind(email)
    .bind("placed")
    .bind(1)
    .bind(at)
    .bind(at)
    .execute(&mut tx)
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
    .execute(&mut tx)
    .await?;
    tx.commit().await
}
