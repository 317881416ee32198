//! `order-svc run`: the API, its admin port, and the parts that live and stop together.

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use inbox::{Inbox, Running};
use outbox::{Outbox, wake};
use prometheus::Registry;
use runtime::http::metrics::HttpMetrics;
use runtime::http::server;
use runtime::lifecycle::Lifecycle;
use runtime::mysql::Pool;
use runtime::nats::Client;
use runtime::readiness::{Latch, Readiness};
use runtime::{connection_metrics, mysql};
use schema::event::EventType;
use schema::names;
use tokio_util::sync::CancellationToken;

use crate::bound::Bound;
use crate::config::RunConfig;
use crate::group::Lane;
use crate::metrics::Metrics;
use crate::payments::{self, Payments};
use crate::{App, group, purge};

/// Serves until asked to stop.
///
/// # Errors
/// If an address is taken or a URL malformed; later faults end the process through its lifecycle.
pub async fn run(config: RunConfig) -> anyhow::Result<ExitCode> {
    let shutdown = CancellationToken::new();
    let readiness = Readiness::new(shutdown.clone());
    let registry = prometheus::default_registry().clone();

    let admin_listener = server::bind(config.process.admin_addr).await?;
    let listener = config.http.bind().await?;
    let client = wake::connect("order-svc", &config.nats, (&readiness, &registry)).await?;
    let (app, lanes) = app(&config, &registry)?;
    app.pool.unready_while_refused(&readiness);
    connection_metrics::register(&registry, &app.pool)?;
    let payments = payments(&config, &app, client.clone(), &registry)?;
    let issuer = config.auth.issuer()?;
    let router = crate::http::router(app.clone(), HttpMetrics::register(&registry)?, issuer.clone());
    let router = config.cors.around(router);

    let stopping = shutdown.clone();
    let mut parts = Lifecycle::new(shutdown.clone());
    parts.spawn("database", first_contact(app.pool.clone(), readiness.latch("database"), shutdown.clone()));
    if let Some(issuer) = issuer {
        issuer.spawn(&mut parts, &readiness, &shutdown);
    }
    let served = CancellationToken::new();
    parts.spawn("wake", wake::run(client, names::ORDERS_WAKE_SUBJECT, app.outbox.wake(), served.clone()));
    for lane in lanes {
        parts.spawn("lane", lane.run(served.clone()));
    }
    parts.spawn("purge", purge::run(app.pool, shutdown.clone()));
    parts.spawn("http", async move {
        let _served = served.drop_guard();
        server::serve(listener, router, shutdown).await
    });
    if let Some(inbox) = payments {
        inbox.spawn_aside(&mut parts, &readiness, &stopping);
    }
    parts.serve_admin(admin_listener, registry, readiness);
    tracing::info!(http = %config.http.http_addr, admin = %config.process.admin_addr, "order-svc serves");
    Ok(parts.run(config.process.shutdown_grace).await)
}

fn app(config: &RunConfig, registry: &Registry) -> anyhow::Result<(App, Vec<Lane>)> {
    let pool = mysql::pool(&config.database).context("DATABASE_URL is malformed")?;
    let outbox = Outbox::new(&config.outbox, &EventType::ALL.map(EventType::as_str), registry)?;
    let metrics = Metrics::register(registry)?;
    let bound = NonZeroU32::new(config.orders_per_customer_per_hour).map(Bound);
    let (groups, lanes) = group::lanes(&pool, &outbox, &metrics, (config.group_max.into(), bound));
    Ok((App { pool, outbox, metrics, groups, bound }, lanes))
}

/// The inbox of the payment events, if there is a stream of them.
fn payments(
    config: &RunConfig,
    app: &App,
    client: Client,
    registry: &Registry,
) -> prometheus::Result<Option<Running<Payments>>> {
    let Some(stream) = &config.payments_stream else { return Ok(None) };
    let handler = Payments { outbox: app.outbox.clone() };
    let inbox = Inbox { pool: app.pool.clone(), source: Arc::new(payments::source(stream)), handler };
    Ok(Some(Running::new(inbox, config.inbox.clone(), client, registry)?))
}

/// Sets the latch once the database has answered. Requests are served from the start: without it they get 503.
async fn first_contact(pool: Pool, latch: Latch, shutdown: CancellationToken) -> anyhow::Result<()> {
    match mysql::wait_until_up(&pool, &shutdown).await {
        Ok(()) => latch.set(),
        Err(_) if shutdown.is_cancelled() => return Ok(()),
        Err(error) => return Err(error),
    }
    mysql::ask_while_refused(&pool, &shutdown).await;
    Ok(())
}
