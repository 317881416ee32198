//! `notify-svc run`: the inbox, the email queue, the API and the admin port, which live and stop together.

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use effect::{Metrics, Queue, Wake};
use inbox::{Inbox, Running};
use prometheus::Registry;
use runtime::http::metrics::HttpMetrics;
use runtime::http::server;
use runtime::lifecycle::Lifecycle;
use runtime::mysql::Pool;
use runtime::nats::Client;
use runtime::readiness::Readiness;
use runtime::renewable::Renewable;
use runtime::{connection_metrics, mysql, nats};
use tokio_util::sync::CancellationToken;

use crate::config::RunConfig;
use crate::email::{Emails, Mailer, QUEUE, Recipients};
use crate::handler::{self, Notifications};
use crate::housekeeping::Housekeeping;
use crate::payments::{self, Payments};
use crate::{App, http, webhook};

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
    let listener = config.http.bind().await?;
    let transport = config.email.transport().map_err(anyhow::Error::msg)?;
    let mailer = Mailer::open(transport).await?;
    let pool = mysql::pool(&config.database).context("DATABASE_URL is malformed")?;
    pool.unready_while_refused(&readiness);
    let client = nats::connect_ready("notify-svc", &config.nats, (&readiness, &registry)).await?;

    connection_metrics::register(&registry, &pool)?;
    let handler = Notifications::default();
    let recipients = Recipients::new(&config.orders, &registry)?;
    let emails = Queue {
        pool: pool.clone(),
        name: QUEUE,
        performer: Emails {
            pool: pool.clone(),
            recipients,
            mails_max: NonZeroU32::new(config.email.mails_per_recipient_per_hour),
            mailer: Arc::new(mailer),
        },
        limits: config.email.limits(),
        wake: handler.email_wake.clone(),
        metrics: Metrics::register(&registry, QUEUE)?,
        shutdown: shutdown.clone(),
    };
    let inbox = Inbox { pool: pool.clone(), source: Arc::new(handler::source()), handler };
    let inbox = Running::new(inbox, config.inbox.clone(), client.clone(), &registry)?;
    let retention = config.notification_retention;
    let housekeeping = Housekeeping::new(pool.clone(), retention, &registry, shutdown.clone())?;
    let payments = payments(&config, &pool, &emails.wake, client, &registry)?;
    let payments_monitor = payments.as_ref().map(Running::monitor);
    let (monitor, inbox_metrics) = (inbox.monitor(), inbox.metrics());
    let webhook_secret = config.suppression_webhook_secret;
    let webhook_secret = webhook_secret.map(|secret| Arc::new(Renewable::new(webhook::SETTING, secret)));
    let app = App { pool, monitor, payments_monitor, inbox_metrics, webhook_secret };
    let issuer = config.auth.issuer()?;
    let router = config.cors.around(http::router(app, HttpMetrics::register(&registry)?, issuer.clone()));

    let mut parts = Lifecycle::new(shutdown.clone());
    if let Some(issuer) = issuer {
        issuer.spawn(&mut parts, &readiness, &shutdown);
    }
    inbox.spawn(&mut parts, &readiness, &shutdown);
    if let Some(payments) = payments {
        payments.spawn_aside(&mut parts, &readiness, &shutdown);
    }
    parts.spawn("emails", emails.run());
    parts.spawn("housekeeping", housekeeping.run());
    parts.spawn("http", server::serve(listener, router, shutdown));
    parts.serve_admin(admin_listener, registry, readiness);
    tracing::info!(http = %config.http.http_addr, admin = %config.process.admin_addr, "notify-svc serves");
    Ok(parts.run(config.process.shutdown_grace).await)
}

/// The inbox of the payment events, if there is a stream of them.
fn payments(
    config: &RunConfig,
    pool: &Pool,
    email_wake: &Wake,
    client: Client,
    registry: &Registry,
) -> prometheus::Result<Option<Running<Payments>>> {
    let Some(stream) = &config.payments_stream else { return Ok(None) };
    let handler = Payments { email_wake: email_wake.clone() };
    let inbox = Inbox { pool: pool.clone(), source: Arc::new(payments::source(stream)), handler };
    Ok(Some(Running::new(inbox, config.inbox.clone(), client, registry)?))
}
