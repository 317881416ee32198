//! `notify-svc status`: what waits, what is dead, how the emails are, and what the broker says if it is asked; and, as its exit
//! status, whether a person should act.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use inbox::consumer::Monitor;
use inbox::store::{inbox_dead, inbox_parked, inbox_position};
use runtime::config::{EXIT_UNHEALTHY, Secret};
use runtime::nats::{self, NatsAccess, NatsConfig};
use runtime::operator::CommonConfig;
use runtime::operator::table::{fields, or_dash};
use schema::names;
use serde::Serialize;

use crate::email::QUEUE;
use crate::store::notifications;
use crate::{handler, payments};

/// Settings of `status`.
#[derive(Debug, Args)]
pub struct StatusConfig {
    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,

    /// nats://HOST:PORT; without it the broker is not asked.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Option<Secret>,

    /// See [`NatsAccess`].
    #[command(flatten)]
    pub nats_access: NatsAccess,
}

#[derive(Serialize)]
struct Status {
    /// What a person should act on; none if all is well.
    problems: Vec<String>,
    parked_events: i64,
    dead_messages: i64,
    /// Payment events that wait, as those of orders that are not known yet.
    parked_payment_events: i64,
    dead_payment_messages: i64,
    emails: Vec<Emails>,
    /// Pending emails that were tried, and are older than an hour.
    emails_overdue: i64,
    position: Option<Position>,
    consumer: Option<Consumer>,
}

#[derive(Clone, Serialize)]
struct Emails {
    state: &'static str,
    emails: i64,
}

#[derive(Serialize)]
struct Position {
    floor: u64,
    highest: Option<u64>,
    gone: u64,
}

#[derive(Serialize)]
struct Consumer {
    pending: u64,
    ack_pending: u64,
    redelivered: u64,
    ack_floor: u64,
    lag_seconds: Option<f64>,
}

/// Prints the status.
///
/// # Errors
/// If the database can't be read; a broker that does not answer is reported as one.
pub async fn status(config: StatusConfig) -> anyhow::Result<ExitCode> {
    let pool = config.common.pool().await?;
    let (source, paid) = (handler::source(), payments::source(names::PAYMENTS_STREAM));
    let queue = effect::sample(&pool, QUEUE).await.context("counting the emails")?;
    let sent = notifications::count_sent(&pool).await.context("counting the emails")?;
    let emails = [("pending", queue.pending), ("sent", sent), ("dead", queue.dead)];
    let emails = emails.map(|(state, emails)| Emails { state, emails }).to_vec();
    let asks_broker = config.nats_url.is_some();
    let mut status = Status {
        problems: Vec::new(),
        parked_events: inbox_parked::count(&pool, &source).await.context("counting the parked events")?,
        dead_messages: inbox_dead::count(&pool, &source).await.context("counting the dead messages")?,
        parked_payment_events: inbox_parked::count(&pool, &paid).await.context("counting the parked events")?,
        dead_payment_messages: inbox_dead::count(&pool, &paid).await.context("counting the dead messages")?,
        emails,
        emails_overdue: queue.overdue,
        position: inbox_position::show(&pool, &source).await.context("reading the position")?.map(|shown| Position {
            floor: shown.floor,
            highest: shown.highest,
            gone: shown.gone,
        }),
        consumer: match config.nats_url {
            Some(nats_url) => ask(NatsConfig { nats_url, nats_access: config.nats_access }).await?,
            None => None,
        },
    };
    status.problems = problems(&status, asks_broker);
    config.common.print(&status, text)?;
    Ok(if status.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNHEALTHY) })
}

fn problems(status: &Status, asks_broker: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if status.dead_messages > 0 {
        problems.push(format!("{} messages are dead", status.dead_messages));
    }
    if status.dead_payment_messages > 0 {
        problems.push(format!("{} messages about payments are dead", status.dead_payment_messages));
    }
    let dead = status.emails.iter().filter(|emails| emails.state == "dead" && emails.emails > 0);
    problems.extend(dead.map(|dead| format!("{} emails are dead", dead.emails)));
    if status.emails_overdue > 0 {
        let emails = status.emails_overdue;
        problems
            .push(format!("{emails} emails wait for more than an hour, see `notify-svc email list --state waiting`"));
    }
    if asks_broker && status.consumer.is_none() {
        problems.push("the broker tells of no consumer".to_owned());
    }
    problems
}

async fn ask(config: NatsConfig) -> anyhow::Result<Option<Consumer>> {
    let client = nats::connect("notify-svc status", &config).await.context("NATS_URL is malformed")?;
    let status = Monitor::new(client, Arc::new(handler::source())).status_once_connected().await;
    Ok(status.consumer.map(|consumer| Consumer {
        pending: consumer.pending,
        ack_pending: consumer.ack_pending,
        redelivered: consumer.redelivered,
        ack_floor: consumer.ack_floor,
        lag_seconds: status.lag.map(|lag| lag.as_secs_f64()),
    }))
}

fn text(status: &Status) -> String {
    let names: Vec<_> = status.emails.iter().map(|emails| format!("emails {}", emails.state)).collect();
    let mut lines =
        vec![("parked events", status.parked_events.to_string()), ("dead messages", status.dead_messages.to_string())];
    lines.extend([
        ("payment parked", status.parked_payment_events.to_string()),
        ("payment dead", status.dead_payment_messages.to_string()),
    ]);
    lines.extend(names.iter().map(String::as_str).zip(status.emails.iter().map(|emails| emails.emails.to_string())));
    if let Some(position) = &status.position {
        lines.push(("read up to", position.floor.to_string()));
        lines.push(("gone unread", position.gone.to_string()));
    }
    match &status.consumer {
        Some(consumer) => {
            let lag = or_dash(consumer.lag_seconds.map(|seconds| format!("{seconds:.1} s")));
            lines.push(("pending", consumer.pending.to_string()));
            lines.push(("ack pending", consumer.ack_pending.to_string()));
            lines.push(("lag", lag));
        }
        None => lines.push(("consumer", "does not answer, or NATS_URL is not set".to_owned())),
    }
    lines.extend(status.problems.iter().map(|problem| ("problem", problem.clone())));
    fields(&lines)
}
