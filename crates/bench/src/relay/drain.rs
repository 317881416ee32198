//! Has a relay drain an outbox, and times it from outside, on the table.

use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::MySqlPool;
use stack::pipeline::{Pipeline, Service};
use stack::service::Program;
use tokio::time::{Instant, sleep};

use super::outbox;

/// No drain takes longer.
const DRAIN_WITHIN: Duration = Duration::from_secs(1800);
const STEP: Duration = Duration::from_millis(5);

/// How a drain went.
#[derive(Debug)]
pub(super) struct Drained {
    /// Events per second, from the first settle to the last.
    pub(super) rate: f64,
    /// The longest time between two settles, in milliseconds.
    pub(super) longest_pause: f64,
    /// When the last was seen to be settled.
    pub(super) settled_at: Instant,
    /// The most memory that the relay has held, in megabytes.
    pub(super) memory: f64,
}

/// Has a relay drain what is pending.
pub(super) async fn drain(pipeline: &Pipeline, pool: &MySqlPool, settings: &[(&str, &str)]) -> anyhow::Result<Drained> {
    let range = outbox::pending_range(pool).await?.context("nothing is pending")?;
    finish(pipeline.launch(Program::OutboxRelay, settings)?, pool, range).await
}

/// Waits until a relay has drained the events from the first to the last, and everything else, and stops it.
pub(super) async fn finish(mut relay: Service, pool: &MySqlPool, (first, last): (u64, u64)) -> anyhow::Result<Drained> {
    let deadline = Instant::now() + DRAIN_WITHIN;
    // Published one by one, the last need not be settled last.
    while !outbox::is_published(pool, last).await? || outbox::oldest_pending(pool).await?.is_some() {
        if Instant::now() > deadline {
            bail!("the relay is not done: {}", relay.running.process.last_words());
        }
        sleep(STEP).await;
    }
    let settled_at = Instant::now();
    let memory = relay.peak_memory()?;
    relay.running.stop().await?;
    // The first settle begins the time: what the process takes to start is not counted, nor the first claim.
    let rate = outbox::settled_rate(pool, first, last).await?;
    let pauses = outbox::pauses(pool, first, last).await?;
    let longest: Vec<_> = pauses.iter().take(3).map(|pause| format!("{pause:.0}")).collect();
    eprintln!("drained {first} to {last}: {rate:.0} a second, pauses up to {} ms, {memory:.1} MB", longest.join(", "));
    Ok(Drained { rate, longest_pause: pauses.first().copied().unwrap_or(0.0), settled_at, memory })
}
