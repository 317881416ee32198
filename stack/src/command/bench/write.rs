//! `stack bench write`: what HTTP, validation and telemetry cost an order.
//!
//! The limit is the bare transaction: the same two INSERTs on the same server through the same kind of pool, without a
//! service around it. Both take turns in short rounds over empty tables, and medians are reported, so that whatever else
//! the machine does falls on both. Relies on the release build of order-svc.

use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::Signal;
use schema::database::ORDERS;
use sqlx::Connection;
use stack::home::Home;
use stack::port::Port;
use stack::process::{Launch, Output, Probe, Process};
use stack::server::{MySql, Nats, NatsOptions};
use stack::{Engine, account};

use super::Figure;
use super::bare::Bare;
use super::load::Client;
use crate::command::scratch::Scratch;

/// Connections of either pool: order-svc's default.
const CONNECTIONS: u32 = 16;
const READY_WITHIN: Duration = Duration::from_secs(30);

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
}

/// Starts servers and service, and measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let scratch = Scratch::new(home)?;
    let bench = Bench::start(home, &scratch, arguments.db).await?;
    let round = Duration::from_millis(arguments.round_ms);
    let many = bench.rounds(arguments.rounds, 32, round).await?;
    let one = bench.rounds(arguments.rounds, 1, round).await?;
    bench.stop().await?;
    Ok(vec![
        Figure::against("write_32", median(&many.service, Round::rate), "orders/s", median(&many.bare, Round::rate)),
        Figure::against("write_1", median(&one.service, Round::p50_ms), "ms", median(&one.bare, Round::p50_ms)),
    ])
}

/// What is measured, and what it stands on.
struct Bench {
    mysql: MySql,
    nats: Nats,
    service: Process,
    bare: Bare,
    address: String,
    _ports: [Port; 5],
}

impl Bench {
    async fn start(home: &Home, scratch: &Scratch, engine: Engine) -> anyhow::Result<Bench> {
        let ports = [(); 5].map(|()| Port::reserve());
        let [database, broker, monitor, http, admin] = ports.each_ref().map(Port::number);
        let mysql = MySql::start_from_template(home, engine, scratch.path(), database).await?;
        let nats = NatsOptions {
            data: scratch.path().join("nats"),
            port: broker,
            monitor_port: monitor,
            sync_always: false,
            output: Output::File(scratch.path().join("nats.log")),
            on_launcher_death: Signal::SIGKILL,
        };
        let nats = Nats::start(home, nats).await?;
        let url = prepare(&mysql).await?;
        let address = format!("127.0.0.1:{http}");
        let program = home.root().join("target/release/order-svc");
        let mut service = Launch::new("order-svc", program)
            .arg("run")
            .env("HTTP_ADDR", &address)
            .env("ADMIN_ADDR", format!("127.0.0.1:{admin}"))
            .env("DATABASE_URL", &url)
            .env("DATABASE_CONNECTIONS_MAX", CONNECTIONS.to_string())
            .env("NATS_URL", nats.url())
            .output(Output::File(scratch.path().join("order-svc.log")))
            .on_launcher_death(Signal::SIGKILL)
            .spawn()
            .context("order-svc is measured as `cargo build --release` leaves it")?;
        let ready = format!("http://127.0.0.1:{admin}/readyz");
        let probe = async || match reqwest::get(&ready).await {
            Ok(answer) if answer.status().is_success() => Probe::Ready,
            Ok(answer) => Probe::NotYet(format!("/readyz answered {}", answer.status())),
            Err(error) => Probe::NotYet(error.to_string()),
        };
        service.until_ready(READY_WITHIN, probe).await?;
        let bare = Bare::new(&url, CONNECTIONS)?;
        Ok(Bench { mysql, nats, service, bare, address, _ports: ports })
    }

    /// Rounds of both kinds in turn, the first of each not counted.
    async fn rounds(&self, rounds: u32, clients: usize, round: Duration) -> anyhow::Result<Rounds> {
        let mut all = Rounds::default();
        for number in 0..=rounds {
            self.empty().await?;
            let bare = self.bare.run(clients, round).await?;
            self.empty().await?;
            let service = self.through_http(clients, round).await?;
            if number > 0 {
                all.bare.push(bare);
                all.service.push(service);
            }
        }
        Ok(all)
    }

    async fn through_http(&self, clients: usize, round: Duration) -> anyhow::Result<Round> {
        let mut connected = Vec::new();
        for _ in 0..clients {
            connected.push(Client::connect(&self.address).await?);
        }
        let began = Instant::now();
        let until = began + round;
        let running = connected.into_iter().map(|client| client.place_until(until));
        let latencies = futures::future::try_join_all(running).await?;
        Ok(Round::new(latencies, began.elapsed()))
    }

    /// Both find the same tables.
    async fn empty(&self) -> anyhow::Result<()> {
        let mut admin = account::connect(&self.mysql.admin_url(ORDERS.name)).await.context("cannot connect")?;
        for table in ["TRUNCATE TABLE orders", "TRUNCATE TABLE outbox"] {
            sqlx::raw_sql(table).execute(&mut admin).await.context("cannot empty a table")?;
        }
        admin.close().await.context("cannot disconnect")
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.bare.close().await;
        self.service.kill().await.context("cannot stop order-svc")?;
        self.nats.kill().await?;
        self.mysql.kill().await.map(drop)
    }
}

/// Creates the database, and returns the URL of order-svc's user.
async fn prepare(mysql: &MySql) -> anyhow::Result<String> {
    const PASSWORD: &str = "bench";
    let mut admin = account::connect(&mysql.admin_url("")).await.context("cannot connect")?;
    account::create_database(&mut admin, ORDERS.name).await.context("cannot create the database")?;
    admin.close().await.context("cannot disconnect")?;
    let mut admin = account::connect(&mysql.admin_url(ORDERS.name)).await.context("cannot connect")?;
    account::migrate(&mut admin, &ORDERS).await?;
    account::grant(&mut admin, &ORDERS, |_| PASSWORD.to_owned()).await?;
    admin.close().await.context("cannot disconnect")?;
    Ok(mysql.url("order_svc", PASSWORD, ORDERS.name))
}

#[derive(Default)]
struct Rounds {
    bare: Vec<Round>,
    service: Vec<Round>,
}

/// What one round took.
pub(super) struct Round {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Round {
    /// Of the latencies of each client.
    pub(super) fn new(latencies: Vec<Vec<Duration>>, elapsed: Duration) -> Round {
        let mut latencies = latencies.concat();
        latencies.sort_unstable();
        Round { latencies, elapsed }
    }

    #[expect(clippy::cast_precision_loss, reason = "a round has thousands of orders")]
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn p50_ms(&self) -> f64 {
        self.latencies.get(self.latencies.len() / 2).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut numbers: Vec<f64> = rounds.iter().map(of).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
