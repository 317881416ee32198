//! `bench write`: what HTTP, validation and telemetry cost an order.
//!
//! The limit is the bare transaction: the same two INSERTs on the same server through the same kind of pool, without a
//! service around it. Both take turns in short rounds over empty tables. Relies on the release build of order-svc.

use std::time::{Duration, Instant};

use anyhow::Context;
use schema::database::ORDERS;
use sqlx::MySqlPool;
use stack::Engine;
use stack::home::Home;
use stack::pipeline::{Pipeline, Service};
use stack::service::Program;

use crate::bare::Bare;
use crate::figure::Figure;
use crate::load::Client;
use crate::round::Round;

/// Orders a second of 32 clients (`write_32`) and the median time of one client's (`write_1`) through order-svc's HTTP API,
/// against the bare transaction of two INSERTs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    db: Engine,
    /// Rounds of each kind that are counted; one more comes before them, to warm up.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Milliseconds of a round.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    round_ms: u64,
    /// Connections of either pool.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
}

/// Starts servers and service, and measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let bench = Bench::start(home, arguments).await?;
    let round = Duration::from_millis(arguments.round_ms);
    let many = bench.rounds(arguments.rounds, 32, round).await?;
    let one = bench.rounds(arguments.rounds, 1, round).await?;
    bench.stop().await?;
    Ok(vec![
        Figure::of_rounds("write_32", "orders/s", &many.each(Round::rate)),
        Figure::of_rounds("write_1", "ms", &one.each(Round::p50_ms)),
    ])
}

/// What is measured, and what it stands on.
struct Bench {
    service: Service,
    bare: Bare,
    pool: MySqlPool,
    _pipeline: Pipeline,
}

impl Bench {
    async fn start(home: &Home, arguments: &Arguments) -> anyhow::Result<Bench> {
        let pipeline = Pipeline::start(home, arguments.db, false).await?;
        let pool = pipeline.database(Program::OrderSvc).await?;
        let url = pipeline.url("order_svc", ORDERS.name);
        let connections = arguments.connections.to_string();
        let settings = [("DATABASE_CONNECTIONS_MAX", connections.as_str())];
        let service = pipeline.service(Program::OrderSvc, &settings).await?;
        Ok(Bench { service, bare: Bare::new(&url, arguments.connections)?, pool, _pipeline: pipeline })
    }

    /// Rounds of both kinds in turn, the first of each not counted.
    async fn rounds(&self, rounds: u32, clients: usize, round: Duration) -> anyhow::Result<Rounds> {
        let mut all = Rounds(Vec::new());
        for number in 0..=rounds {
            self.empty().await?;
            let bare = self.bare.run(clients, round).await?;
            self.empty().await?;
            let service = self.through_http(clients, round).await?;
            if number > 0 {
                all.0.push((service, bare));
            }
        }
        Ok(all)
    }

    async fn through_http(&self, clients: usize, round: Duration) -> anyhow::Result<Round> {
        let mut connected = Vec::new();
        for _ in 0..clients {
            connected.push(Client::connect(&self.service.address()).await?);
        }
        let began = Instant::now();
        let until = began + round;
        let running = connected.into_iter().map(|client| client.place_until(until));
        let latencies = futures::future::try_join_all(running).await?;
        Ok(Round::new(latencies, began.elapsed()))
    }

    /// Both find the same tables.
    async fn empty(&self) -> anyhow::Result<()> {
        for table in ["TRUNCATE TABLE orders", "TRUNCATE TABLE outbox"] {
            sqlx::raw_sql(table).execute(&self.pool).await.context("cannot empty a table")?;
        }
        Ok(())
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.bare.close();
        self.service.running.stop().await.map(drop)
    }
}

/// The service's and the bare ones, in pairs.
struct Rounds(Vec<(Round, Round)>);

impl Rounds {
    fn each(&self, of: fn(&Round) -> f64) -> Vec<(f64, f64)> {
        self.0.iter().map(|(service, bare)| (of(service), of(bare))).collect()
    }
}
