//! `bench scale`: whether a long history and a large backlog slow the relay, and whether purging the history does.

use std::time::Duration;

use anyhow::Context;
use sqlx::MySqlPool;
use stack::Engine;
use stack::home::Home;
use stack::pipeline::Pipeline;
use stack::service::Program;
use tokio::time::{Instant, sleep};

use super::drain::{drain, finish};
use super::{looks, outbox};
use crate::figure::Figure;

/// Published and pending events that the large numbers are compared with.
const FEW: u64 = 10_000;

/// How long ago half of the history was published; the other half is new.
const OLD_DAYS: u32 = 8;

/// The purge has begun by then, or none will.
const PURGE_WITHIN: Duration = Duration::from_secs(60);

/// With a history and a backlog: relay_scale_inspect (the slowest of schema/inspect/orders, once its pages are read),
/// relay_scale_status (order-svc's /api/orders/events/status), relay_scale (limit: with ten thousand), relay_scale_pause (the
/// longest between two settles), relay_scale_memory (the relay's peak), and while half of the history is purged
/// relay_scale_purging (limit: without), relay_scale_purging_pause, relay_scale_purged.
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    #[serde(skip)]
    pub(crate) db: Engine,
    /// Published events; a tenth of that is pending. The targets speak of ten million.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(20_000..))]
    events: u64,
}

/// Measures. The limit is the mean of before and after the drain: filling takes minutes, and the machine is not the same after
/// them.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let (db, published) = (arguments.db, arguments.events);
    let pipeline = Pipeline::start(home, db, true).await?;
    let pool = pipeline.database(Program::OrderSvc).await?;
    let pending = published / 10;
    let filling = Instant::now();
    outbox::append_published(&pool, published / 2, OLD_DAYS).await?;
    outbox::append_published(&pool, published - published / 2, 0).await?;
    outbox::append_pending(&pool, pending).await?;
    eprintln!("filled in {} published and {pending} pending in {:.0} s", published, filling.elapsed().as_secs_f64());

    let mut figures = looks::measure(home, &pipeline, &pool, published).await?;
    let before = few(home, db).await?;
    let kept = drain(&pipeline, &pool, &[("RETENTION", "9d")]).await?;
    let after = few(home, db).await?;
    figures.push(Figure::against("relay_scale", kept.rate, "events/s", before.midpoint(after)));
    figures.push(Figure::alone("relay_scale_pause", kept.longest_pause, "ms"));
    figures.push(Figure::alone("relay_scale_memory", kept.memory, "MB"));
    figures.extend(purging(&pipeline, &pool, pending, kept.rate).await?);
    Ok(figures)
}

/// The rate with few events, on servers of its own. The median of some: a drain of so few has but two or three settles.
async fn few(home: &Home, db: Engine) -> anyhow::Result<f64> {
    let pipeline = Pipeline::start(home, db, true).await?;
    let pool = pipeline.database(Program::OrderSvc).await?;
    outbox::append_published(&pool, FEW, 0).await?;
    let mut rates = Vec::new();
    for _ in 0..5 {
        outbox::append_pending(&pool, FEW).await?;
        rates.push(drain(&pipeline, &pool, &[]).await.context("with few events")?.rate);
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[rates.len() / 2])
}

/// The same again while the old half of the history goes: the events come when the purge is under way, all at once.
async fn purging(pipeline: &Pipeline, pool: &MySqlPool, pending: u64, undisturbed: f64) -> anyhow::Result<Vec<Figure>> {
    let oldest = outbox::first_seq(pool).await?;
    let relay = pipeline.service(Program::OutboxRelay, &[("RETENTION", "7d")]).await?;
    let deadline = Instant::now() + PURGE_WITHIN;
    while outbox::first_seq(pool).await? == oldest && Instant::now() < deadline {
        sleep(Duration::from_millis(50)).await;
    }
    let range = outbox::append_at_once(pool, pending).await?;
    let (first, begin) = (outbox::first_seq(pool).await?, Instant::now());
    let drained = finish(relay, pool, range).await?;
    let purged = outbox::first_seq(pool).await? - first;
    let rate = purged as f64 / begin.elapsed().as_secs_f64();
    Ok(vec![
        Figure::against("relay_scale_purging", drained.rate, "events/s", undisturbed).failing(unpurged(purged)),
        Figure::alone("relay_scale_purging_pause", drained.longest_pause, "ms").failing(unpurged(purged)),
        Figure::alone("relay_scale_purged", rate, "events/s").failing(unpurged(purged)),
    ])
}

/// Why a drain says nothing about purging, if it does not.
fn unpurged(events: u64) -> Option<String> {
    (events == 0).then(|| "nothing was purged during the drain".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::Verdict;

    #[test]
    fn a_drain_without_a_purge_tells_nothing_of_purging() {
        let figure =
            |purged| Figure::against("relay_scale_purging", 112.0, "events/s", 100.0).failing(unpurged(purged));
        assert_eq!((figure(0).verdict(), figure(1).verdict()), (Verdict::Failed, Verdict::Met));
    }
}
