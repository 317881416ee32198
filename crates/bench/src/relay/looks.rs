//! How long people wait for an answer about a large outbox: `schema/inspect/orders` and order-svc's status.

use std::fs;

use anyhow::Context;
use schema::database::ORDERS;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, MySqlPool};
use stack::account;
use stack::home::Home;
use stack::pipeline::Pipeline;
use stack::service::Program;
use tokio::time::Instant;

use crate::figure::Figure;

/// Events that are dead or held while people query, spread over the whole history.
const STOPPED: u64 = 20_000;
/// The first query, which may have to read from disk, and those after it.
const LOOKS: usize = 5;

/// Queries an outbox with so many published events.
pub(super) async fn measure(
    home: &Home,
    pipeline: &Pipeline,
    pool: &MySqlPool,
    published: u64,
) -> anyhow::Result<Vec<Figure>> {
    stop_some(pool, published / STOPPED.min(published), true).await?;
    add_newest_order(pool).await?;
    let inspected = inspect(home, pipeline).await?;
    let status = status(pipeline).await?;
    stop_some(pool, published / STOPPED.min(published), false).await?;
    Ok(vec![Figure::alone("relay_scale_inspect", inspected, "ms"), Figure::alone("relay_scale_status", status, "ms")])
}

/// The slowest query's time.
async fn inspect(home: &Home, pipeline: &Pipeline) -> anyhow::Result<f64> {
    let folder = home.root().join("schema/inspect").join(ORDERS.name);
    let mut files = fs::read_dir(&folder).context("cannot list the queries")?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut connection = account::connect(&pipeline.url("orders_inspector", ORDERS.name)).await?;
    let mut slowest: f64 = 0.0;
    for file in files {
        let sql = fs::read_to_string(file.path()).context("cannot read a query")?;
        let times = ask(&mut connection, &sql).await.with_context(|| format!("{}", file.path().display()))?;
        slowest = slowest.max(report(&file.file_name().to_string_lossy(), &times));
    }
    connection.close().await?;
    Ok(slowest)
}

async fn ask(connection: &mut MySqlConnection, sql: &str) -> sqlx::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(LOOKS);
    for _ in 0..LOOKS {
        let begin = Instant::now();
        connection.fetch_all(AssertSqlSafe(sql)).await?;
        times.push(begin.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(times)
}

async fn status(pipeline: &Pipeline) -> anyhow::Result<f64> {
    let mut service = pipeline.service(Program::OrderSvc, &[]).await?;
    let url = format!("http://{}/api/orders/events/status", service.address());
    let mut times = Vec::with_capacity(LOOKS);
    for _ in 0..LOOKS {
        let begin = Instant::now();
        reqwest::get(&url).await?.error_for_status()?.bytes().await?;
        times.push(begin.elapsed().as_secs_f64() * 1_000.0);
    }
    service.running.stop().await?;
    Ok(report("status", &times))
}

/// Prints the first time and the slowest of the others; the latter.
fn report(what: &str, times: &[f64]) -> f64 {
    let slowest = times[1..].iter().copied().fold(0.0, f64::max);
    eprintln!("{what}: first {:.1} ms, then at most {slowest:.1} ms", times[0]);
    slowest
}

/// Makes every `stride`th event dead or held, in turn, or published again.
async fn stop_some(pool: &MySqlPool, stride: u64, is_stopped: bool) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE outbox
         JOIN JSON_TABLE(CONCAT('[1', REPEAT(',1', ? - 1), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS list
              ON outbox.seq = list.n * ?
         SET outbox.state      = IF(?, IF(list.n % 2 = 0, 'dead', 'held'), 'published'),
             outbox.last_error = IF(?, 'the broker refuses it', NULL)
         WHERE outbox.state <> 'pending'",
    )
    .bind(STOPPED)
    .bind(stride)
    .bind(is_stopped)
    .bind(is_stopped)
    .execute(pool)
    .await
    .map(drop)
}

/// The order of the newest event, for whoever asks for its story.
async fn add_newest_order(pool: &MySqlPool) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO orders (id, product, quantity, email, status, version, created_at, updated_at)
         SELECT UNHEX(REPLACE(aggregate_id, '-', '')), 'Espresso machine', 2, 'ada@example.com', 'placed', 1, occurred_at, occurred_at
         FROM outbox
         ORDER BY seq DESC
         LIMIT 1",
    )
    .execute(pool)
    .await
    .map(drop)
}
