//! `stack doctor`: checks a running deployment from outside, and says what to do about what is wrong.
//!
//! Changes nothing, but for one order if it is asked to place one. What it is not told of it does not check, and says so. Guarantees
//! that each wait is bounded, and that no fault of one check keeps it from making the others.

mod broker;
mod database;
mod finding;
mod order;
mod services;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use runtime::config::Secret;
use runtime::exit::{EXIT_UNHEALTHY, Misconfigured};
use runtime::terminal::{self, Addresses};
use schema::database::{NOTIFICATIONS, ORDERS, PAYMENTS};
use schema::names;

use finding::Finding;
use services::Admin;

/// What to check. `stack env` sets all of it for the stack that is up.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// The database of the orders; a user who may read it, such as `orders_inspector`.
    #[arg(long, env = "ORDERS_DATABASE_URL", hide_env_values = true)]
    orders_database_url: Option<Secret>,

    /// The database of the notifications, as `notifications_inspector`.
    #[arg(long, env = "NOTIFICATIONS_DATABASE_URL", hide_env_values = true)]
    notifications_database_url: Option<Secret>,

    /// The database of the payments, as `payments_inspector`.
    #[arg(long, env = "PAYMENTS_DATABASE_URL", hide_env_values = true)]
    payments_database_url: Option<Secret>,

    /// The broker.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: Option<Secret>,

    /// The password of the user `operator` at the broker, if it has users.
    #[arg(long, env = "OPERATOR_PASSWORD", hide_env_values = true)]
    operator_password: Option<Secret>,

    /// Admin ports by program, such as order-svc=http://127.0.0.1:9081,notify-svc=http://127.0.0.1:9082.
    #[arg(long, env = "ADMIN_URLS", value_delimiter = ',')]
    admin_urls: Vec<Admin>,

    /// Where clients come in; for --order.
    #[arg(long, env = "GATEWAY_URL")]
    gateway_url: Option<String>,

    /// Place an order and wait until its customer is notified. It stays.
    #[arg(long, requires = "gateway_url")]
    order: bool,

    /// File with a token that has the scopes orders and notifications; for --order, where the services ask for tokens.
    #[arg(long, env = "TOKEN_FILE", value_parser = token)]
    token_file: Option<Secret>,

    /// Print JSON instead of lines.
    #[arg(long)]
    json: bool,
}

/// Reads it; clap's `value_parser`.
fn token(path: &str) -> Result<Secret, String> {
    Secret::in_file(Path::new(path))
}

/// Checks all that it is told of.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let databases = [
        (&ORDERS, &settings.orders_database_url, true),
        (&NOTIFICATIONS, &settings.notifications_database_url, false),
        (&PAYMENTS, &settings.payments_database_url, true),
    ];
    let is_told = databases.iter().any(|(_, url, _)| url.is_some());
    if !is_told && settings.nats_url.is_none() && settings.admin_urls.is_empty() {
        return Err(Misconfigured("there is nothing to check: eval \"$(stack env)\", or see --help".to_owned()).into());
    }
    let mut findings = Vec::new();
    for (definition, url, has_outbox) in databases {
        match url {
            Some(url) => findings.extend(database::check(definition, url, has_outbox).await),
            None => findings.push(Finding::unasked(format!("database {}", definition.name))),
        }
    }
    let has_payments = settings.payments_database_url.is_some();
    match &settings.nats_url {
        Some(url) => {
            findings.extend(broker::check(url, settings.operator_password.as_ref(), &readers(has_payments)).await);
        }
        None => findings.push(Finding::unasked("broker".to_owned())),
    }
    findings.extend(services::check(&settings.admin_urls).await);
    if let Some(gateway) = settings.gateway_url.as_ref().filter(|_| settings.order) {
        findings.push(order::check(gateway, settings.token_file.as_ref()).await);
    }
    terminal::print(&findings, Addresses::Masked, settings.json, |findings| {
        findings.iter().map(Finding::lines).collect()
    })
    .context("writing the answer")?;
    let is_well = findings.iter().all(Finding::is_well);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNHEALTHY) })
}

/// Streams, and the durable consumers that each has.
fn readers(has_payments: bool) -> Vec<(&'static str, Vec<&'static str>)> {
    if !has_payments {
        return vec![(names::STREAM, vec![names::NOTIFY_DURABLE])];
    }
    vec![
        (names::STREAM, vec![names::NOTIFY_DURABLE, names::PAYMENT_DURABLE]),
        (names::PAYMENTS_STREAM, vec![names::ORDERS_DURABLE, names::NOTIFY_PAYMENTS_DURABLE]),
    ]
}
