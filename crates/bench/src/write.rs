//! `bench write`: what HTTP, validation and telemetry cost an order, and what committing orders together gains.
//!
//! One limit is the bare transaction of one order: the same two INSERTs on the same server through the same kind of pool,
//! without a service around it. The other is a bare group: as many orders in one transaction as the service's groups had in the
//! mean of the round before, by as many connections as it has lanes. All take turns in short rounds over empty tables. Relies on
//! the release build of order-svc.

use std::time::{Duration, Instant};

use anyhow::Context;
use schema::database::ORDERS;
use sqlx::MySqlPool;
use stack::Engine;
use stack::home::Home;
use stack::pipeline::{Pipeline, Service};
use stack::service::Program;

use crate::bare::Bare;
use crate::basket::BOUND;
use crate::figure::Figure;
use crate::load::Client;
use crate::round::Round;

/// Connections that a bare group takes turns on: the lanes of order-svc.
const LANES: usize = 2;

/// Orders a second of 32 and 64 clients (`write_32`, `write_64`) and the median time of one client's (`write_1`) through
/// order-svc's HTTP API, against the bare transaction of two INSERTs; the first two also against a bare group of the same mean
/// size (`write_32_group`, `write_64_group`).
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    #[serde(skip)]
    pub(crate) db: Engine,
    /// Rounds of each kind that are counted; one more comes before them, to warm up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Milliseconds of a round.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    round_ms: u64,
    /// Connections of either pool.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1000))]
    connections: u32,
}

/// Starts servers and service, and measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let bench = Bench::start(home, arguments).await?;
    let mut figures = Vec::new();
    for (name, group_name, clients) in [("write_32", "write_32_group", 32), ("write_64", "write_64_group", 64)] {
        let turns = bench.turns(arguments, clients).await?;
        let pairs = |limit: fn(&Turn) -> f64| turns.iter().map(move |turn| (turn.service.rate(), limit(turn)));
        figures.push(Figure::of_rounds(name, "orders/s", &pairs(|turn| turn.bare.rate()).collect::<Vec<_>>()));
        let grouped = Figure::of_rounds(group_name, "orders/s", &pairs(|turn| turn.group_rate).collect::<Vec<_>>());
        let sizes: Vec<_> = turns.iter().map(|turn| turn.group_size.to_string()).collect();
        figures.push(grouped.noting(format!("groups of {} orders", sizes.join(", "))));
    }
    let turns = bench.turns(arguments, 1).await?;
    let medians: Vec<_> = turns.iter().map(|turn| (turn.service.p50_ms(), turn.bare.p50_ms())).collect();
    figures.push(Figure::of_rounds("write_1", "ms", &medians));
    bench.stop().await?;
    Ok(figures)
}

/// The service and its limits, one after the other.
struct Turn {
    service: Round,
    bare: Round,
    /// Orders of the service's mean group.
    group_size: usize,
    /// Orders a second in bare groups of that size.
    group_rate: f64,
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
        let settings = [("DATABASE_CONNECTIONS_MAX", connections.as_str()), BOUND];
        let service = pipeline.service(Program::OrderSvc, &settings).await?;
        Ok(Bench { service, bare: Bare::new(&url, arguments.connections)?, pool, _pipeline: pipeline })
    }

    /// The first is not counted.
    async fn turns(&self, arguments: &Arguments, clients: usize) -> anyhow::Result<Vec<Turn>> {
        let round = Duration::from_millis(arguments.round_ms);
        let mut turns = Vec::new();
        for number in 0..=arguments.rounds {
            let turn = self.turn(clients, round).await?;
            if number > 0 {
                turns.push(turn);
            }
        }
        Ok(turns)
    }

    async fn turn(&self, clients: usize, round: Duration) -> anyhow::Result<Turn> {
        empty(&self.pool).await?;
        let bare = self.bare.run(clients, round).await?;
        empty(&self.pool).await?;
        let before = Groups::of(&self.service).await?;
        let service = through_http(&self.service, clients, round).await?;
        let group_size = Groups::of(&self.service).await?.mean_size_since(&before);
        empty(&self.pool).await?;
        let group_rate = self.bare.run_groups(group_size, LANES.min(clients), round).await?;
        Ok(Turn { service, bare, group_size, group_rate })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.bare.close();
        self.service.running.stop().await.map(drop)
    }
}

/// A round of clients that place one order after the other.
pub(crate) async fn through_http(service: &Service, clients: usize, round: Duration) -> anyhow::Result<Round> {
    let connected = Client::connect_all(&service.address(), clients).await?;
    let began = Instant::now();
    let until = began + round;
    let running = connected.into_iter().map(|client| client.place_until(until));
    let latencies = futures::future::try_join_all(running).await?;
    Ok(Round::new(latencies, began.elapsed()))
}

/// All find the same tables.
pub(crate) async fn empty(pool: &MySqlPool) -> anyhow::Result<()> {
    for table in ["TRUNCATE TABLE orders", "TRUNCATE TABLE outbox"] {
        sqlx::raw_sql(table).execute(pool).await.context("cannot empty a table")?;
    }
    Ok(())
}

/// How many groups the service has written, and of how many orders, as its metrics say.
#[derive(Debug, Default)]
struct Groups {
    orders: f64,
    groups: f64,
}

impl Groups {
    async fn of(service: &Service) -> anyhow::Result<Groups> {
        let url = format!("http://{}/metrics", service.admin_address());
        let metrics = reqwest::get(url).await?.error_for_status()?.text().await?;
        Groups::read(&metrics).context("order-svc does not tell the size of its groups")
    }

    fn read(metrics: &str) -> Option<Groups> {
        let number = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
        Some(Groups { orders: number("orders_group_size_sum ")?, groups: number("orders_group_size_count ")? })
    }

    /// At least 1.
    fn mean_size_since(&self, before: &Groups) -> usize {
        let mean = (self.orders - before.orders) / (self.groups - before.groups).max(1.0);
        (1..=64).min_by(|one, other| (*one as f64 - mean).abs().total_cmp(&(*other as f64 - mean).abs())).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_size_of_the_groups_of_a_round_is_told_by_two_scrapes() {
        let scrape =
            "# HELP x\norders_group_size_bucket{le=\"1\"} 7\norders_group_size_sum 500\norders_group_size_count 40\n";
        let groups = Groups::read(scrape).unwrap();
        assert_eq!(groups.mean_size_since(&Groups { orders: 84.0, groups: 8.0 }), 13);
        assert_eq!(groups.mean_size_since(&groups), 1, "nothing was written");
        assert!(Groups::read("up 1").is_none());
    }
}
