//! `customer`: what is kept of one customer, handed over or erased, on record.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use outbox::{StoredEvent, story};
use runtime::http::identity;
use runtime::mysql::Pool;
use runtime::operator::CommonConfig;
use runtime::operator::decision::{DecisionConfig, Verdict};
use schema::ids::OrderId;
use schema::names;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::{CustomerId, Order, Subject};
use crate::store::customers::{self, Action};

/// Rows of a transaction: a customer who has more is erased in several.
const BATCH: u32 = 500;

/// What to do about what is kept of a customer.
#[derive(Debug, Subcommand)]
pub enum CustomerVerb {
    /// Print all of a customer's orders as JSON, the address as it is, with their events and payments; exits 3 if there are none.
    Export(CustomerConfig),
    /// Erase a customer's address from all their orders; exits 3 if they have none. The orders stay, and no email goes out for
    /// them any more. In small transactions: one that is cut off is run again. Orders that come afterwards have their address.
    Erase(CustomerConfig),
}

/// Settings of the verbs about a customer.
#[derive(Debug, Args)]
pub struct CustomerConfig {
    /// See [`SubjectConfig`].
    #[command(flatten)]
    pub subject: SubjectConfig,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub decision: DecisionConfig,
}

/// Whom it is about.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SubjectConfig {
    /// The customer, as their tokens name them: sub.
    #[arg(long, value_parser = sub)]
    pub customer: Option<Subject>,

    /// The address; upper and lower case are the same.
    #[arg(long, value_parser = Subject::address)]
    pub email: Option<Subject>,
}

impl CustomerVerb {
    /// What every one of them needs.
    pub fn common(&self) -> &CommonConfig {
        let (Self::Export(config) | Self::Erase(config)) = self;
        &config.decision.common
    }
}

/// The customer with this `sub`, which a token could have.
fn sub(sub: &str) -> Result<Subject, &'static str> {
    let sub =
        identity::Subject::parse(sub).ok_or("must be 1 to 255 visible ASCII characters, as the sub of a token is")?;
    Ok(Subject::Customer(CustomerId::new(sub.as_str())))
}

impl SubjectConfig {
    fn subject(self) -> anyhow::Result<Subject> {
        self.customer.or(self.email).context("--customer or --email is needed")
    }
}

/// What a customer is given.
#[derive(Serialize)]
struct Export {
    orders: Vec<ExportedOrder>,
}

#[derive(Serialize)]
struct ExportedOrder {
    id: OrderId,
    customer: Option<String>,
    product: String,
    quantity: u32,
    email: Option<String>,
    status: &'static str,
    payment: &'static str,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// Those that the outbox still has.
    events: Vec<StoredEvent>,
}

#[derive(Serialize)]
struct Erased {
    outcome: &'static str,
    /// Orders whose address is gone by this run.
    erased: u64,
    /// What this verb can't reach.
    remains: &'static [&'static str],
}

const REMAINS: &[&str] = &[
    "emails that were sent, and the mail server's logs: up to whoever runs it",
    "backups and binary logs of the database orders from before: until they are deleted",
    "a suppressed address: until `notify-svc suppression remove ADDRESS --cause CAUSE`; its record stays",
    "what the mail server said of an email, if it quoted the address: as long as notify-svc keeps the email (EMAIL_RETENTION), and in the record of a decision about it",
];

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub async fn customer(verb: CustomerVerb) -> anyhow::Result<ExitCode> {
    match verb {
        CustomerVerb::Export(config) => export(config).await,
        CustomerVerb::Erase(config) => erase(config).await,
    }
}

async fn export(CustomerConfig { subject, decision }: CustomerConfig) -> anyhow::Result<ExitCode> {
    let (pool, subject) = (decision.common.pool().await?, subject.subject()?);
    let mut export = Export { orders: Vec::new() };
    let mut after = OrderId(Uuid::nil());
    loop {
        let page = customers::page(&pool, &subject, after, BATCH).await.context("reading orders")?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for order in page {
            export.orders.push(exported(&pool, order).await?);
        }
    }
    let orders = export.orders.len().try_into().unwrap_or(u64::MAX);
    let mut tx = pool.begin().await.context("connecting to the database")?;
    customers::record(&mut tx, Action::Export, (&subject, orders), decision.by()).await.context("recording it")?;
    tx.commit().await.context("committing")?;
    // Nothing is shown that could not be recorded.
    decision.common.hand_over(&export)?;
    Ok(if export.orders.is_empty() { Verdict::NotFound.status() } else { ExitCode::SUCCESS })
}

async fn exported(pool: &Pool, order: Order) -> anyhow::Result<ExportedOrder> {
    let events = story(pool, names::ORDER, order.id.into()).await.context("reading events")?;
    Ok(ExportedOrder {
        id: order.id,
        customer: order.customer.map(|customer| customer.as_str().to_owned()),
        product: order.product,
        quantity: order.quantity,
        email: order.email,
        status: order.status.as_str(),
        payment: order.payment.as_str(),
        created_at: order.created_at,
        updated_at: order.updated_at,
        events,
    })
}

async fn erase(CustomerConfig { subject, decision }: CustomerConfig) -> anyhow::Result<ExitCode> {
    let (pool, subject) = (decision.common.pool().await?, subject.subject()?);
    let (mut erased, mut after, mut is_known) = (0, OrderId(Uuid::nil()), false);
    loop {
        let page = customers::page(&pool, &subject, after, BATCH).await.context("reading orders")?;
        let Some(last) = page.last() else { break };
        (after, is_known) = (last.id, true);
        let addressed: Vec<_> = page.iter().filter(|order| order.email.is_some()).map(|order| order.id).collect();
        if addressed.is_empty() {
            continue;
        }
        let mut tx = pool.begin().await.context("connecting to the database")?;
        let count = customers::erase(&mut tx, &addressed).await.context("erasing addresses")?;
        customers::record(&mut tx, Action::Erase, (&subject, count), decision.by()).await.context("recording it")?;
        tx.commit().await.context("committing")?;
        erased += count;
    }
    let verdict = if is_known { Verdict::CarriedOut } else { Verdict::NotFound };
    let answer = Erased { outcome: verdict.outcome("erased"), erased, remains: REMAINS };
    decision.common.print(&answer, |answer| match verdict {
        Verdict::CarriedOut => format!("{} orders erased; what remains:\n  {}\n", answer.erased, REMAINS.join("\n  ")),
        _ => format!("{}: there are no such orders; nothing was changed\n", answer.outcome),
    })?;
    Ok(verdict.status())
}
