//! `payment-svc run`: the inbox, the queue of charges and refunds, the API and the admin port, which live and stop together.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use effect::{Metrics, Queue, Wake};
use inbox::{Inbox, Running};
use outbox::{Outbox, wake};
use runtime::http::metrics::HttpMetrics;
use runtime::http::server;
use runtime::lifecycle::Lifecycle;
use runtime::readiness::Readiness;
use runtime::{connection_metrics, mysql, nats};
use schema::names;
use schema::payment::PaymentEventType;
use tokio_util::sync::CancellationToken;

use crate::advance::QUEUE;
use crate::config::RunConfig;
use crate::handler::{self, Payments};
use crate::performer::Performer;
use crate::provider::Provider;
use crate::sampler::Sampler;
use crate::{App, http};

/// An attempt looks up what there is, opens an intent and pays it, and reads and writes the database in between.
const CALLS_MAX: u32 = 4;
const DATABASE_TIME: Duration = Duration::from_secs(10);
/// After the first attempt whose outcome nobody knows.
const DELAY_FIRST: Duration = Duration::from_secs(1);

/// Runs until asked to stop.
///
/// # Errors
/// If an address is taken, a URL malformed or the provider's settings unusable; later faults end the process through its
/// lifecycle.
pub async fn run(config: RunConfig) -> anyhow::Result<ExitCode> {
    let shutdown = CancellationToken::new();
    let readiness = Readiness::new(shutdown.clone());
    let registry = prometheus::default_registry().clone();

    let admin_listener = server::bind(config.process.admin_addr).await?;
    let listener = config.http.bind().await?;
    let provider = Provider::open(&config.provider).await?;
    let pool = mysql::pool(&config.database).context("DATABASE_URL is malformed")?;
    pool.unready_while_refused(&readiness);
    let client = nats::connect_ready("payment-svc", &config.nats, (&readiness, &registry)).await?;
    connection_metrics::register(&registry, &pool)?;

    let outbox = Outbox::new(&config.outbox, &PaymentEventType::ALL.map(PaymentEventType::as_str), &registry)?;
    let queue_wake = Wake::default();
    let handler = Payments { outbox: outbox.clone(), wake: queue_wake.clone() };
    let inbox = Inbox { pool: pool.clone(), source: Arc::new(handler::source()), handler };
    let inbox = Running::new(inbox, config.inbox, client.clone(), &registry)?;
    let app = App { pool: pool.clone(), monitor: inbox.monitor() };
    let issuer = config.auth.issuer()?;
    let router = config.cors.around(http::router(app, HttpMetrics::register(&registry)?, issuer.clone()));
    let outbox_wake = outbox.wake();
    let sampler = Sampler::register(&registry, pool.clone())?;
    let queue = Queue {
        pool: pool.clone(),
        name: QUEUE,
        performer: Performer { pool, provider, outbox, wake: queue_wake.clone() },
        limits: config.effect.limits(config.provider.call_time_max() * CALLS_MAX + DATABASE_TIME, DELAY_FIRST),
        wake: queue_wake,
        metrics: Metrics::register(&registry, QUEUE)?,
        shutdown: shutdown.clone(),
    };

    let mut parts = Lifecycle::new(shutdown.clone());
    if let Some(issuer) = issuer {
        issuer.spawn(&mut parts, &readiness, &shutdown);
    }
    inbox.spawn(&mut parts, &readiness, &shutdown);
    parts.spawn("provider", queue.run());
    parts.spawn("sampler", sampler.run(shutdown.clone()));
    parts.spawn("wake", wake::run(client, names::PAYMENTS_WAKE_SUBJECT, outbox_wake, shutdown.clone()));
    parts.spawn("http", server::serve(listener, router, shutdown));
    parts.serve_admin(admin_listener, registry, readiness);
    tracing::info!(http = %config.http.http_addr, admin = %config.process.admin_addr, "payment-svc serves");
    Ok(parts.run(config.process.shutdown_grace).await)
}
