//! `bench recover`: how soon events go on after the active relay was killed, and after an hour without one.
//!
//! The failover is timed from SIGKILL of the active relay to the first message that the standby publishes, of an event that was
//! committed after the kill: its limit is the lease time, which a standby has to wait for. The backlog is timed from the start
//! of the relay's process to the last settle; its limit is a bare publisher of as many messages.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::Subscriber;
use futures::StreamExt;
use schema::names::{MSG_ID_HEADER, STREAM_SUBJECTS};
use sqlx::MySqlPool;
use stack::Engine;
use stack::home::Home;
use stack::pipeline::Pipeline;
use stack::service::Program;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::drain::finish;
use super::latency::append;
use super::{bare, outbox};
use crate::figure::Figure;

/// The relay's default, in seconds.
const LEASE_TIME: f64 = 3.0;
/// Events of an hour at 500 orders a second.
const HOUR: f64 = 1_800_000.0;
/// Messages of the bare publisher.
const BARE: u64 = 200_000;
const WITHIN: Duration = Duration::from_secs(60);

/// Figures: recover_failover (the slowest of the rounds, from SIGKILL of the active relay to the standby's first publish;
/// limit: the lease time), recover_backlog (seconds from the start of a relay until an hour's events at 500 orders a second are
/// settled; limit: a bare publisher in atomic batches).
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    #[serde(skip)]
    pub(crate) db: Engine,
    /// Kills.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
    /// Events of the backlog; what fewer take is told as the time of an hour's.
    #[arg(long, default_value_t = 1_800_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    scale: u64,
}

/// Measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    Ok(vec![failover(home, arguments).await?, backlog(home, arguments).await?])
}

async fn failover(home: &Home, arguments: &Arguments) -> anyhow::Result<Figure> {
    let pipeline = Pipeline::start(home, arguments.db, true).await?;
    let pool = pipeline.database(Program::OrderSvc).await?;
    let client = async_nats::connect(pipeline.nats.url()).await.context("cannot connect to NATS")?;
    let mut messages = client.subscribe(STREAM_SUBJECTS[0]).await?;
    client.flush().await?;
    let mut active = pipeline.service(Program::OutboxRelay, &[]).await?;
    let mut seconds = Vec::new();
    for _ in 0..arguments.rounds {
        // Whoever publishes this one holds the lease; who starts after it stands by.
        until_seen(&mut messages, append(&pool, &client).await?.0).await?;
        let standby = pipeline.service(Program::OutboxRelay, &[]).await?;
        let killed = Instant::now();
        active.running.kill().await?;
        until_seen(&mut messages, append(&pool, &client).await?.0).await?;
        seconds.push(killed.elapsed().as_secs_f64());
        active = standby;
    }
    active.running.stop().await?;
    let each: Vec<_> = seconds.iter().map(|seconds| format!("{seconds:.2}")).collect();
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    Ok(Figure::against("recover_failover", slowest, "s", LEASE_TIME).noting(format!("each: {} s", each.join(", "))))
}

/// Waits until an event's message is published.
async fn until_seen(messages: &mut Subscriber, event: Uuid) -> anyhow::Result<()> {
    let wanted = event.to_string();
    let seen = async {
        while let Some(message) = messages.next().await {
            let id = message.headers.as_ref().and_then(|headers| headers.get(MSG_ID_HEADER));
            if id.is_some_and(|id| id.as_str().contains(&wanted)) {
                return Ok(());
            }
        }
        bail!("NATS closed the connection")
    };
    timeout(WITHIN, seen).await.context("nobody publishes an event")?
}

async fn backlog(home: &Home, arguments: &Arguments) -> anyhow::Result<Figure> {
    let pipeline = Pipeline::start(home, arguments.db, true).await?;
    let pool: MySqlPool = pipeline.database(Program::OrderSvc).await?;
    outbox::append_pending(&pool, arguments.scale).await?;
    let range = outbox::pending_range(&pool).await?.context("nothing is pending")?;
    let url = pipeline.nats.url();
    let before = bare::atomic(&url, arguments.scale.min(BARE)).await?;
    let started = Instant::now();
    let relay = pipeline.launch(Program::OutboxRelay, &[])?;
    let drained = finish(relay, &pool, range).await?;
    let seconds = drained.settled_at.duration_since(started).as_secs_f64() * HOUR / arguments.scale as f64;
    let limit = HOUR / before.midpoint(bare::atomic(&url, arguments.scale.min(BARE)).await?);
    let note = format!("measured with {} events, {:.1} MB of memory", arguments.scale, drained.memory);
    Ok(Figure::against("recover_backlog", seconds, "s", limit).noting(note))
}
