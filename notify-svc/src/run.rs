//! `notify-svc run`: the consumer, the email queue, the API and the admin port, which live and stop together.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use runtime::http::metrics::HttpMetrics;
use runtime::http::server;
use runtime::lifecycle::Lifecycle;
use runtime::readiness::{Latch, Readiness, Weight};
use runtime::{connection_metrics, mysql, nats};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::RunConfig;
use crate::consumer::{Consumer, Monitor, Settings};
use crate::email::{Mailer, Queue, Rate};
use crate::housekeeping::Housekeeping;
use crate::metrics::Metrics;
use crate::process::{Limit, Process};
use crate::resuming::Resuming;
use crate::{App, http};

/// Runs until asked to stop.
///
/// # Errors
/// If an address is taken, a URL malformed or the folder of the emails not writable; later faults end the process
/// through its lifecycle.
pub async fn run(config: RunConfig) -> anyhow::Result<ExitCode> {
    let shutdown = CancellationToken::new();
    let readiness = Readiness::new(shutdown.clone());
    let registry = prometheus::default_registry().clone();

    let admin_listener = server::bind(config.process.admin_addr).await?;
    let listener = server::bind(config.http_addr).await?;
    let transport = config.email.transport().map_err(anyhow::Error::msg)?;
    let mailer = Mailer::open(transport).await?;
    let pool = mysql::pool(&config.database).context("DATABASE_URL is malformed")?;
    pool.unready_while_refused(&readiness);
    let client = nats::connect_ready("notify-svc", &config.nats, &readiness).await.context("NATS_URL is malformed")?;

    connection_metrics::register(&registry, &pool, &client)?;
    let monitor = Monitor::new(client.clone());
    readiness.report(Weight::Told, monitor.troubles());
    let metrics = Metrics::register(&registry)?;
    let email_wake = Arc::new(Notify::new());
    let app = App { pool: pool.clone(), monitor: monitor.clone(), metrics: metrics.clone() };
    let router = http::router(app, HttpMetrics::register(&registry)?);
    let process = Process {
        pool: pool.clone(),
        attempts_max: config.deliveries_max,
        limit: Arc::new(Limit::new(usize::from(config.batch_size_max))),
        tally: Arc::default(),
    };
    let resuming = Resuming {
        process: process.clone(),
        metrics: metrics.clone(),
        email_wake: Arc::clone(&email_wake),
        shutdown: shutdown.clone(),
    };
    let consumer = Consumer {
        client,
        process: process.clone(),
        settings: Settings {
            ack_wait: config.ack_wait,
            batch_size_max: config.batch_size_max,
            ack_pending_max: config.ack_pending_max,
        },
        monitor: monitor.clone(),
        metrics: metrics.clone(),
        email_wake: Arc::clone(&email_wake),
        shutdown: shutdown.clone(),
    };
    let housekeeping = Housekeeping {
        pool: pool.clone(),
        monitor: monitor.clone(),
        metrics: metrics.clone(),
        inbox_retention: config.inbox_retention,
        outbox_retention: config.outbox_retention,
        shutdown: shutdown.clone(),
    };
    let emails = Queue {
        pool,
        mailer,
        attempts_max: config.email.email_attempts_max,
        rate: Rate::new(config.email.email_rate_max),
        wake: email_wake,
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    };

    let mut parts = Lifecycle::new(shutdown.clone());
    parts.spawn("consumer", consume(consumer, readiness.latch("database"), readiness.latch("stream")));
    parts.spawn("parked", resuming.run());
    parts.spawn("emails", emails.run());
    parts.spawn("housekeeping", housekeeping.run());
    parts.spawn("gauges", monitor.sample(metrics, shutdown.clone()));
    parts.spawn("http", server::serve(listener, router, shutdown));
    parts.serve_admin(admin_listener, registry, readiness);
    tracing::info!(http = %config.http_addr, admin = %config.process.admin_addr, "notify-svc serves");
    Ok(parts.run(config.process.shutdown_grace).await)
}

/// Consumes once the database has answered. The API answers meanwhile, with 503 where it must.
async fn consume(consumer: Consumer, database: Latch, stream: Latch) -> anyhow::Result<()> {
    match mysql::wait_until_up(&consumer.process.pool, &consumer.shutdown).await {
        Ok(()) => database.set(),
        Err(_) if consumer.shutdown.is_cancelled() => return Ok(()),
        Err(error) => return Err(error),
    }
    Box::pin(consumer.run(stream)).await;
    Ok(())
}
