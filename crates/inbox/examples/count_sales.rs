//! Counts how many of each product are ordered, and not cancelled, by the events of the orders.
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use inbox::cli::InboxVerb;
use inbox::{Applied, Decision, Handler, Inbox, InboxConfig, Running, Source};
use runtime::config::{ProcessConfig, Validate};
use runtime::http::server;
use runtime::lifecycle::Lifecycle;
use runtime::mysql::{self, DatabaseConfig, Transaction};
use runtime::nats::{self, NatsConfig};
use runtime::readiness::Readiness;
use schema::envelope::Envelope;
use schema::event::{DecodeError, OrderEvent};
use tokio_util::sync::CancellationToken;

/// So many more of a product are sold; below 0, fewer.
#[derive(Clone, Debug)]
pub struct Sold {
    product: String,
    quantity: i64,
}

/// Makes sales of order events.
#[derive(Clone, Debug)]
pub struct Sales;

impl Handler for Sales {
    type Effect = Sold;

    fn decide(&self, envelope: &Envelope, payload: &[u8]) -> Decision<Sold> {
        match OrderEvent::decode(&envelope.event_type, payload) {
            Ok(OrderEvent::Created(order)) => {
                Decision::Apply(Sold { product: order.product, quantity: order.quantity.into() })
            }
            Ok(OrderEvent::Cancelled(order)) => {
                Decision::Apply(Sold { product: order.product, quantity: -i64::from(order.quantity) })
            }
            Err(DecodeError::UnknownType(_)) => Decision::Ignore,
            Err(error) => Decision::Dead(error.to_string()),
        }
    }

    async fn apply(&self, tx: &mut Transaction, effects: &[&Sold]) -> sqlx::Result<Applied> {
        // In one order, or two replicas lock each other out.
        let mut effects = effects.to_vec();
        effects.sort_by(|one, other| one.product.cmp(&other.product));
        for sold in effects {
            sqlx::query(
                "INSERT INTO sales (product, quantity)
                 VALUES (?, ?)
                 ON DUPLICATE KEY UPDATE quantity = quantity + ?",
            )
            .bind(&sold.product)
            .bind(sold.quantity)
            .bind(sold.quantity)
            .execute(&mut *tx)
            .await?;
        }
        Ok(Applied::Done)
    }
}

/// The events of the orders.
pub fn source() -> Source {
    Source::new("ORDERS", "sales", "order")
}

#[derive(Parser)]
struct Settings {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Count until asked to stop.
    Run(Box<RunConfig>),
    #[command(flatten)]
    Inbox(Box<InboxVerb>),
}

#[derive(Args)]
struct RunConfig {
    #[command(flatten)]
    process: ProcessConfig,
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    nats: NatsConfig,
    #[command(flatten)]
    inbox: InboxConfig,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Settings::parse().verb {
        Verb::Run(config) => run(*config).await,
        Verb::Inbox(verb) => verb.run(source(), Sales).await,
    }
}

async fn run(config: RunConfig) -> anyhow::Result<ExitCode> {
    config.inbox.validate().map_err(anyhow::Error::msg)?;
    let shutdown = CancellationToken::new();
    let readiness = Readiness::new(shutdown.clone());
    let registry = prometheus::default_registry().clone();
    let admin = server::bind(config.process.admin_addr).await?;
    let pool = mysql::pool(&config.database)?;
    let client = nats::connect_ready("sales", &config.nats, (&readiness, &registry)).await?;

    let inbox = Inbox { pool, source: Arc::new(source()), handler: Sales };
    let inbox = Running::new(inbox, config.inbox, client, &registry)?;
    let mut parts = Lifecycle::new(shutdown.clone());
    inbox.spawn(&mut parts, &readiness, &shutdown);
    parts.serve_admin(admin, registry, readiness);
    Ok(parts.run(config.process.shutdown_grace).await)
}
