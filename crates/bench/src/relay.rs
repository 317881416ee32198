//! `bench relay`: how fast the relay drains an outbox, and how soon it publishes.
//!
//! Each rate is measured from outside, on the table: from the first event settled to the last. The limits are what the
//! same broker takes from a bare publisher of messages of the same size, and the same way with nothing of ours on it, in
//! the same run.

mod bare;
mod drain;
mod latency;
mod looks;
mod outbox;
pub(crate) mod peers;
pub(crate) mod recover;
pub(crate) mod scale;

use stack::Engine;
use stack::home::Home;
use stack::pipeline::Pipeline;
use stack::service::Program;

use crate::chain;
use crate::figure::{Figure, percentile};
use drain::drain;

/// Figures: relay_durable (atomic batches, the broker syncs each; limit: bare atomic batches), relay_careful (single
/// publishes, default sync; limit: bare publishes, a thousand in flight), commit_to_puback_p50 and _p99 (100 orders a
/// second with wake hints, the broker syncs each; limit: the same round trips without the relay).
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value = "mysql")]
    #[serde(skip)]
    pub(crate) db: Engine,

    /// Events in each throughput run.
    #[arg(long, default_value_t = 200_000)]
    events: u64,

    /// Turns of each throughput run and its limit; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,

    /// Seconds of the latency run.
    #[arg(long, default_value_t = 20)]
    seconds: u64,

    /// Measure only the figures whose names start with this.
    #[arg(long, default_value = "")]
    only: String,
}

/// Measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let wanted = |name: &str| name.starts_with(&arguments.only);
    let mut figures = Vec::new();
    if wanted("relay_durable") {
        figures.push(durable(home, arguments).await?);
    }
    if wanted("relay_careful") {
        figures.push(careful(home, arguments).await?);
    }
    if wanted("commit_to_puback") {
        figures.extend(commit_to_puback(home, arguments).await?);
    }
    Ok(figures)
}

async fn durable(home: &Home, arguments: &Arguments) -> anyhow::Result<Figure> {
    let pipeline = Pipeline::start(home, arguments.db, true).await?;
    let rounds = rounds(&pipeline, arguments, bare::atomic, &[]).await?;
    Ok(Figure::of_rounds("relay_durable", "events/s", &rounds))
}

async fn careful(home: &Home, arguments: &Arguments) -> anyhow::Result<Figure> {
    let pipeline = Pipeline::start(home, arguments.db, false).await?;
    let rounds = rounds(&pipeline, arguments, bare::pipelined, &[("PUBLISH_PATH", "careful")]).await?;
    Ok(Figure::of_rounds("relay_careful", "events/s", &rounds))
}

/// Drains by a relay with these settings, each with its limit: the mean of before and after, because the machine is slower
/// after a drain.
async fn rounds(
    pipeline: &Pipeline,
    arguments: &Arguments,
    bare: impl AsyncFn(&str, u64) -> anyhow::Result<f64>,
    settings: &[(&str, &str)],
) -> anyhow::Result<Vec<(f64, f64)>> {
    let pool = pipeline.database(Program::OrderSvc).await?;
    let url = pipeline.nats.url();
    let mut rounds = Vec::new();
    let mut before = bare(&url, arguments.events).await?;
    for _ in 0..arguments.rounds {
        outbox::append_pending(&pool, arguments.events).await?;
        let drained = drain(pipeline, &pool, settings).await?;
        let after = bare(&url, arguments.events).await?;
        rounds.push((drained.rate, before.midpoint(after)));
        before = after;
    }
    Ok(rounds)
}

async fn commit_to_puback(home: &Home, arguments: &Arguments) -> anyhow::Result<[Figure; 2]> {
    let pipeline = Pipeline::start(home, arguments.db, true).await?;
    let pool = pipeline.database(Program::OrderSvc).await?;
    let notifications = pipeline.database(Program::NotifySvc).await?;
    let orders = usize::try_from(arguments.seconds)? * 100;
    let limit = chain::measure(&pipeline, &pool, &notifications, orders, 100).await?.to_puback;
    let times = latency::commit_to_puback(&pipeline, &pool, arguments.seconds).await?;
    let figure = |name, percent| Figure::against(name, percentile(&times, percent), "ms", percentile(&limit, percent));
    Ok([figure("commit_to_puback_p50", 50), figure("commit_to_puback_p99", 99)])
}
