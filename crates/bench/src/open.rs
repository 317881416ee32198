//! `bench open`: how long an order takes when orders come at a steady rate, whatever became of those before.
//!
//! Two order-svc's on one database: one commits orders together, the other, the limit, each alone. Orders come at random, as
//! often as a share of what the other one can do. The clock starts when an order was due, unless it only waited for a timer: an
//! order that found every client busy has waited for the service.

use std::cell::Cell;
use std::time::{Duration, Instant};

use sqlx::MySqlPool;
use stack::Engine;
use stack::home::Home;
use stack::pipeline::{Pipeline, Service};
use stack::service::Program;

use crate::basket::BOUND;
use crate::figure::{Figure, median};
use crate::findings::{Curves, Findings, Line};
use crate::load::Client;
use crate::round::Round;
use crate::write::{empty, through_http};

/// Clients of the closed loop that finds the maximum.
const CLIENTS: usize = 32;

/// The shares, with the names of their figures.
const SHARES: [(u32, [&str; 2]); 3] =
    [(25, ["open_25_p50", "open_25_p99"]), (50, ["open_50_p50", "open_50_p99"]), (75, ["open_75_p50", "open_75_p99"])];

/// Milliseconds that an order takes at 25, 50 and 75 % of the rate that order-svc reaches without groups (open_25_p50,
/// open_25_p99 and so on; limit: the same without groups).
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    #[serde(skip)]
    pub(crate) db: Engine,
    /// Rounds of each share.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Milliseconds of a round.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    round_ms: u64,
    /// Connections that carry the orders: more than are ever busy.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
}

/// Starts servers and services, and measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Findings> {
    let pipeline = Pipeline::start(home, arguments.db, false).await?;
    let pool = pipeline.database(Program::OrderSvc).await?;
    let mut grouped = pipeline.service(Program::OrderSvc, &[BOUND]).await?;
    let mut single = pipeline.service(Program::OrderSvc, &[("GROUP_MAX", "1"), BOUND]).await?;
    let round = Duration::from_millis(arguments.round_ms);
    let mut maxima = Vec::new();
    for _ in 0..3 {
        empty(&pool).await?;
        maxima.push(through_http(&single, CLIENTS, round).await?.rate());
    }
    let maximum = median(&maxima);
    let mut figures = Vec::new();
    for (share, names) in SHARES {
        let rate = maximum * f64::from(share) / 100.0;
        let mut rounds = Vec::new();
        for _ in 0..arguments.rounds {
            let limit = at_rate(&single, &pool, rate, arguments).await?;
            rounds.push((at_rate(&grouped, &pool, rate, arguments).await?, limit));
        }
        for (name, percent) in names.into_iter().zip([50, 99]) {
            let times =
                rounds.iter().map(|(value, limit)| (value.percentile_ms(percent), limit.percentile_ms(percent)));
            let figure = Figure::of_rounds(name, "ms", &times.collect::<Vec<_>>());
            figures.push(figure.noting(format!("{rate:.0} of {maximum:.0} orders/s")));
        }
    }
    grouped.running.stop().await?;
    single.running.stop().await?;
    Ok(Findings { curves: vec![curves(&figures, maximum)], figures })
}

/// How the times rise with the load.
fn curves(figures: &[Figure], maximum: f64) -> Curves {
    let line = |name: &str, first: usize, is_limit: bool| {
        let rates = SHARES.map(|(share, _)| maximum * f64::from(share) / 100.0);
        let shares = figures.iter().skip(first).step_by(2);
        let times = shares.filter_map(|figure| if is_limit { figure.limit } else { Some(figure.value) });
        Line { name: name.to_owned(), points: rates.into_iter().zip(times).collect() }
    };
    let lines = vec![
        line("p50 in groups", 0, false),
        line("p50 each alone", 0, true),
        line("p99 in groups", 1, false),
        line("p99 each alone", 1, true),
    ];
    let title = "How long an order takes at a steady rate".to_owned();
    Curves {
        name: "open".to_owned(),
        title,
        across: "orders a second".to_owned(),
        up: "milliseconds".to_owned(),
        lines,
    }
}

/// A round of orders that come at random.
async fn at_rate(service: &Service, pool: &MySqlPool, rate: f64, arguments: &Arguments) -> anyhow::Result<Round> {
    empty(pool).await?;
    let schedule = Schedule::random(rate, Duration::from_millis(arguments.round_ms));
    let clients = Client::connect_all(&service.address(), arguments.clients.into()).await?;
    let began = Instant::now();
    let placing = clients.into_iter().map(|client| place(client, &schedule, began));
    let latencies = futures::future::try_join_all(placing).await?;
    Ok(Round::new(latencies, began.elapsed()))
}

/// Takes whichever order is due next, until none is left.
async fn place(mut client: Client, schedule: &Schedule, began: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while let Some(due) = schedule.next() {
        let due = began + due;
        let is_early = Instant::now() < due;
        if is_early {
            tokio::time::sleep_until(due.into()).await;
        }
        let start = if is_early { Instant::now() } else { due };
        client.place().await?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

/// When orders are due.
struct Schedule {
    due: Vec<Duration>,
    next: Cell<usize>,
}

impl Schedule {
    /// As people come who know nothing of each other: with exponential gaps.
    fn random(rate: f64, length: Duration) -> Schedule {
        let mut due = Vec::new();
        let mut at = 0.0;
        loop {
            at -= (1.0 - fastrand::f64()).ln() / rate;
            if at >= length.as_secs_f64() && !due.is_empty() {
                return Schedule { due, next: Cell::new(0) };
            }
            due.push(Duration::from_secs_f64(at));
        }
    }

    fn next(&self) -> Option<Duration> {
        let index = self.next.get();
        self.next.set(index + 1);
        self.due.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_at_the_rate_that_was_asked_for_each_once() {
        let schedule = Schedule::random(1000.0, Duration::from_secs(10));
        let due: Vec<_> = std::iter::from_fn(|| schedule.next()).collect();
        assert!((9_000..11_000).contains(&due.len()), "{}", due.len());
        assert!(due.is_sorted() && due.last() < Some(&Duration::from_secs(10)));
    }
}
