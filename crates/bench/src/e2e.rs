//! `bench e2e`: everything on, under as many orders as it takes.
//!
//! A closed loop: clients place orders by order-svc's port (or the gateway's), and one that was notified lets in the next, so
//! that at most --window of them wait for their notification. What counts is an order whose notification was committed within a
//! second of the time at which order-svc took it: notify-svc's acknowledgement, which follows its commit, is seen on its way to
//! the broker. The limit is the bare transaction of one order, measured before and after it on the same server, with nothing
//! else running. Meanwhile the memory of each program and what waits is sampled: what grows would end one day.

mod closed;
mod tally;
mod watch;

use std::time::Duration;

use anyhow::Context;
use schema::database::ORDERS;
use sqlx::MySqlPool;
use stack::Engine;
use stack::home::Home;
use stack::pipeline::{Pipeline, Service};
use stack::port::Port;
use stack::process::Output;
use stack::server::{Gateway, Nginx};
use stack::service::Program;

use crate::bare::Bare;
use crate::basket::BOUND;
use crate::figure::Figure;
use crate::findings::Findings;
use crate::write::empty;
use closed::Loop;
use tally::Tally;
use watch::Watch;

/// Clients of the bare transaction, as in `write_32`.
const BARE_CLIENTS: usize = 32;
const CONNECTIONS: u32 = 16;

/// Figures: e2e (orders a second whose notification is committed within a second; limit: the bare transaction of one order),
/// e2e_late (percent of the orders whose notification came later), e2e_memory_* of each program and e2e_backlog_* of what waits
/// (value: the last sample; limit: the first one after the warm-up).
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    #[serde(skip)]
    pub(crate) db: Engine,
    /// Seconds of the load; a sixth of them warms up.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..=86_400))]
    seconds: u64,
    /// Connections that place orders.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// Orders that may wait for their notification.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Milliseconds of the bare transactions, before and after.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    bare_ms: u64,
    /// Place the orders through nginx.
    #[arg(long)]
    gateway: bool,
}

/// Starts everything, and measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Findings> {
    let pipeline = Pipeline::start(home, arguments.db, true).await?;
    let orders = pipeline.database(Program::OrderSvc).await?;
    let notifications = pipeline.database(Program::NotifySvc).await?;
    let payments = pipeline.database(Program::PaymentSvc).await?;
    let before = bare(&pipeline, &orders, arguments).await?;

    let services = Services::start(&pipeline).await?;
    let gateway = if arguments.gateway { Some(services.gateway(home).await?) } else { None };
    let address = gateway.as_ref().map_or_else(|| services.order_svc().address(), |(_, port)| address(port));
    let watch = Watch::start(&pipeline, services.pids(), [orders.clone(), notifications, payments]).await?;
    let seconds = Duration::from_secs(arguments.seconds);
    let done = Loop::new(&pipeline, arguments.window).await?.run(&address, arguments.clients, seconds).await?;
    let samples = watch.stop().await?;
    let tally = Tally::count(&orders, &done).await?;
    drop(gateway);
    services.stop().await?;

    let limit = before.midpoint(bare(&pipeline, &orders, arguments).await?);
    let mut figures = vec![
        Figure::against("e2e", tally.rate_in_time(), "orders/s", limit),
        Figure::alone("e2e_late", tally.late_percent(), "%").noting(tally.summary()),
    ];
    figures.extend(watch::figures(&samples));
    Ok(Findings { figures, curves: watch::curves(&samples) })
}

/// Orders a second by the bare transaction, into empty tables.
async fn bare(pipeline: &Pipeline, orders: &MySqlPool, arguments: &Arguments) -> anyhow::Result<f64> {
    empty(orders).await?;
    let mut bare = Bare::new(&pipeline.url("order_svc", ORDERS.name), CONNECTIONS)?;
    let round = bare.run(BARE_CLIENTS, Duration::from_millis(arguments.bare_ms)).await;
    bare.close();
    empty(orders).await?;
    Ok(round?.rate())
}

fn address(port: &Port) -> String {
    format!("127.0.0.1:{}", port.number())
}

/// The programs, as `make up` runs them, in the order in which they start: the relays make the streams that others wait for.
struct Services {
    running: Vec<(Program, Service)>,
    folder: tempfile::TempDir,
}

impl Services {
    async fn start(pipeline: &Pipeline) -> anyhow::Result<Services> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let path = |name| folder.path().join(name).to_string_lossy().into_owned();
        let (mail, provider) = (path("mail"), path("provider"));
        std::fs::create_dir(&mail).context("cannot make a folder")?;
        let (stream, email) = (schema::names::PAYMENTS_STREAM, "orders@example.com");
        let programs: [(Program, &[(&str, &str)]); 5] = [
            (Program::OutboxRelay, &[]),
            (Program::PaymentRelay, &[]),
            (Program::NotifySvc, &[("EMAIL_TRANSPORT", "file"), ("EMAIL_DIR", mail.as_str()), ("EMAIL_FROM", email)]),
            (Program::PaymentSvc, &[("PAYMENT_PROVIDER", "simulated"), ("PAYMENT_SIMULATOR_DIR", &provider)]),
            (Program::OrderSvc, &[("PAYMENTS_STREAM", stream), BOUND]),
        ];
        let mut running = Vec::new();
        for (program, settings) in programs {
            running.push((program, pipeline.service(program, settings).await?));
        }
        Ok(Services { running, folder })
    }

    fn of(&self, wanted: Program) -> &Service {
        let found = self.running.iter().find(|(program, _)| *program == wanted);
        &found.expect("all five are started").1
    }

    fn order_svc(&self) -> &Service {
        self.of(Program::OrderSvc)
    }

    fn pids(&self) -> Vec<(Program, i32)> {
        self.running.iter().map(|(program, service)| (*program, service.running.process.pid().as_raw())).collect()
    }

    async fn gateway(&self, home: &Home) -> anyhow::Result<(Nginx, Port)> {
        let port = Port::reserve();
        let folder = self.folder.path().join("nginx");
        let gateway = Gateway {
            operations: None,
            listen: address(&port),
            tls: None,
            order_svc: self.order_svc().address(),
            notify_svc: self.of(Program::NotifySvc).address(),
            payment_svc: self.of(Program::PaymentSvc).address(),
            services_tls: None,
            output: Output::File(self.folder.path().join("nginx.log")),
            folder,
        };
        Ok((Nginx::start(home, &gateway).await?, port))
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        for (_, service) in self.running.iter_mut().rev() {
            service.running.stop().await?;
        }
        Ok(())
    }
}
