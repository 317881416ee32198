//! `outbox-relay run`.

use std::process::ExitCode;
use std::sync::Arc;

use runtime::http::server;
use runtime::lifecycle::Lifecycle;
use runtime::mysql::Pool;
use runtime::readiness::Readiness;
use runtime::{connection_metrics, mysql, nats};
use schema::names::OUTBOX_LEASE;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::preflight::stream::{Broker, Demands, worst_replay};
use super::preflight::{Board, Preflight};
use crate::config::RunConfig;
use crate::drain::claim::Rules;
use crate::drain::drainer::Drainer;
use crate::drain::line::Lines;
use crate::drain::relay::Relay;
use crate::drain::sampler::Sampler;
use crate::drain::settler::Settler;
use crate::drain::wake;
use crate::heal::{Acks, LossMetrics};
use crate::hold::housekeeping::Housekeeping;
use crate::hold::metrics::HousekeepingMetrics;
use crate::hold::pause::Pauses;
use crate::lease::Lease;
use crate::limits::Judge;
use crate::metrics::Metrics;
use crate::stream::Reach;
use crate::terms::Terms;

/// Checks of the loss detector between two of the preflight: a minute, unless configured.
const LOOKS_BETWEEN: u32 = 12;

/// Runs the relay until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from starting.
pub async fn run(config: Box<RunConfig>) -> anyhow::Result<ExitCode> {
    let registry = prometheus::default_registry().clone();
    let metrics = Metrics::register(&registry)?;
    let housekeeping_metrics = HousekeepingMetrics::register(&registry)?;
    let losses = LossMetrics::register(&registry)?;
    let shutdown = CancellationToken::new();
    let readiness = Readiness::new(shutdown.clone());
    let board = Board::register(&registry, &readiness)?;
    let mut lifecycle = Lifecycle::new(shutdown.clone());

    let admin = server::bind(config.process.admin_addr).await?;
    let mysql_latch = readiness.latch("mysql");
    let pool = mysql::pool(&config.database)?;
    pool.unready_while_refused(&readiness);
    let nats = nats::connect_ready("outbox-relay", &config.nats, (&readiness, &registry)).await?;
    connection_metrics::register(&registry, &pool)?;
    let sampler = Sampler::register(&registry, pool.clone(), losses.clone())?;
    lifecycle.serve_admin(admin, registry, readiness);
    let hints = Arc::new(Notify::new());
    lifecycle.spawn("wake", wake::listen(nats.clone(), config.wake_subject.clone(), hints.clone(), shutdown.clone()));
    let lease = Lease::new(pool.clone(), OUTBOX_LEASE, config.lease_time, metrics.clone());
    lifecycle.spawn("sampler", sampler.run(shutdown.clone()));
    let lines = lines(&config, &pool, &metrics, losses);
    let (pauses, terms) = (Pauses::default(), lines.terms.clone());
    let housekeeping = Housekeeping {
        pool: pool.clone(),
        pauses: pauses.clone(),
        terms: terms.clone(),
        metrics: housekeeping_metrics,
        activity: lease.activity(),
        retention: config.retention,
        discarded_retention: config.discarded_retention,
    };
    housekeeping.spawn(&mut lifecycle, &shutdown);
    let preflight = preflight(&config, pool.clone(), Broker::new(nats.clone()));
    lifecycle.spawn(
        "preflight",
        preflight.clone().run(board, config.strict, LOOKS_BETWEEN * config.watch_interval, shutdown.clone()),
    );

    let rules = Rules { source: config.event_source.clone(), terms, pauses: pauses.clone() };
    let relay = Relay {
        drainer: drainer(&config, &pool, metrics, lines, rules),
        lease,
        reach: Reach::new(nats, config.stream.name.clone()),
        wake: hints,
        poll_interval: config.poll_interval,
        watch_interval: config.watch_interval,
    };
    let is_strict = config.strict;
    lifecycle.spawn("relay", async move {
        if mysql::wait_until_up(&pool, &shutdown).await.is_err() && shutdown.is_cancelled() {
            return Ok(());
        }
        mysql_latch.set();
        match pauses.first_look(&pool, &shutdown).await {
            Err(_) if shutdown.is_cancelled() => return Ok(()),
            result => result?,
        }
        preflight.admit(is_strict).await?;
        relay.run(shutdown).await
    });
    Ok(lifecycle.run(config.process.shutdown_grace).await)
}

fn drainer(config: &RunConfig, pool: &Pool, metrics: Metrics, lines: Lines, rules: Rules) -> Drainer {
    let settler = Settler {
        pool: pool.clone(),
        attempts_max: config.attempts_max.get(),
        metrics: metrics.clone(),
        acks: lines.acks.clone(),
    };
    let (pool, judge, batch_size_max) = (pool.clone(), Judge::default(), config.batch_size_max.get());
    Drainer { pool, lines, judge, settler, rules, batch_size_max, metrics }
}

fn lines(config: &RunConfig, pool: &Pool, metrics: &Metrics, losses: LossMetrics) -> Lines {
    Lines {
        nats: config.nats.clone(),
        stream: config.stream.clone(),
        path: config.publish_path,
        publish_timeout: config.publish_timeout,
        metrics: metrics.clone(),
        pool: pool.clone(),
        acks: Acks::default(),
        losses,
        terms: Terms::default(),
        watch_interval: config.watch_interval,
        proof_horizon: config.proof_horizon,
        source: config.event_source.clone(),
    }
}

fn preflight(config: &RunConfig, pool: Pool, broker: Broker) -> Preflight {
    let worst_replay = worst_replay(config.publish_timeout, config.lease_time);
    Preflight { pool, broker, demands: Demands { stream: config.stream.clone(), worst_replay } }
}
