//! The verb `payment`: payments that wait for a person, and what a person decides about them.
//!
//! A decision is a fact like one that the provider told: the state machine says what follows, and the event, the end of the
//! charge or refund and the record commit together.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use effect::Withdrawal;
use runtime::mysql::Transaction;
use runtime::operator::decision::{DecisionConfig, Verdict};
use runtime::operator::table::{Table, or_dash};
use runtime::operator::{CommonConfig, time};
use runtime::terminal::one_line;
use schema::ids::PaymentId;
use serde::Serialize;
use uuid::Uuid;

use crate::advance::{Said, advance};
use crate::handler;
use crate::payment::Fact;
use crate::store::payments;
use crate::store::stuck::{self, Stuck};

/// Why a person's word ended a charge, in `payment.declined`.
const SETTLED_BY_HAND: &str = "settled_by_hand";

/// What to do with payments that wait for a person.
#[derive(Debug, Subcommand)]
pub enum PaymentVerb {
    /// List the payments that nothing is tried for though they are at no end, each with the reason.
    List(ListConfig),
    /// Have the provider asked once more for a refund that it declined.
    Refund(RefundConfig),
    /// Say what became of the money of a payment: nothing more is asked of the provider for it.
    Settle(SettleConfig),
}

impl PaymentVerb {
    /// What every one of them needs.
    pub fn common(&self) -> &CommonConfig {
        match self {
            Self::List(config) => &config.common,
            Self::Refund(config) => &config.decision.common,
            Self::Settle(config) => &config.decision.common,
        }
    }
}

/// Settings of `payment list`.
#[derive(Debug, Args)]
pub struct ListConfig {
    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,

    /// Lines at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,

    /// Only ids above this one: the last of the page before.
    #[arg(long, default_value_t = Uuid::nil())]
    pub after: Uuid,
}

/// Settings of `payment refund`.
#[derive(Debug, Args)]
pub struct RefundConfig {
    /// The id that `payment list` shows.
    pub id: Uuid,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub decision: DecisionConfig,
}

/// Settings of `payment settle`.
#[derive(Debug, Args)]
pub struct SettleConfig {
    /// The id that `payment list` shows.
    pub id: Uuid,

    /// What became of the money, as the provider's own records have it, or as you have moved it.
    #[arg(long = "as", value_enum)]
    pub settled_as: SettledAs,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub decision: DecisionConfig,
}

/// What a person may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SettledAs {
    /// It was not taken, and never will be.
    NeverCharged,
    /// It was taken.
    Charged,
    /// It was given back, by the provider or by another way.
    Refunded,
}

#[derive(Serialize)]
struct Decided {
    outcome: &'static str,
    payment: PaymentId,
    /// Why nothing was changed.
    reason: Option<String>,
}

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub async fn payment(verb: PaymentVerb) -> anyhow::Result<ExitCode> {
    match verb {
        PaymentVerb::List(config) => list(config).await,
        PaymentVerb::Refund(config) => decide(config.id, Fact::RefundAgain, &config.decision).await,
        PaymentVerb::Settle(config) => {
            let fact = match config.settled_as {
                SettledAs::NeverCharged => Fact::NeverCharged,
                SettledAs::Charged => Fact::Charged,
                SettledAs::Refunded => Fact::Refunded,
            };
            decide(config.id, fact, &config.decision).await
        }
    }
}

async fn list(config: ListConfig) -> anyhow::Result<ExitCode> {
    let found = stuck::list(&config.common.pool().await?, PaymentId(config.after), config.limit).await;
    config.common.print(&found.context("reading payments")?, |payments| table(payments))?;
    Ok(ExitCode::SUCCESS)
}

fn table(payments: &[Stuck]) -> String {
    let headings = ["id", "order", "state", "amount", "effect", "its id", "money may have moved", "since", "reason"];
    let mut table = Table::new(&headings);
    for payment in payments {
        table.row([
            payment.id.to_string(),
            payment.order_id.to_string(),
            payment.state.as_str().to_owned(),
            format!("{} {}", payment.amount_minor, payment.currency),
            format!("{} {}", payment.effect, payment.effect_state),
            payment.effect_id.to_string(),
            if payment.is_unknown { "yes" } else { "no" }.to_owned(),
            time(payment.updated_at),
            or_dash(payment.reason.as_deref()),
        ]);
    }
    table.to_string()
}

async fn decide(id: Uuid, fact: Fact, config: &DecisionConfig) -> anyhow::Result<ExitCode> {
    let id = PaymentId(id);
    let mut tx = config.common.pool().await?.begin().await.context("connecting to the database")?;
    let (verdict, reason) = match apply(&mut tx, id, fact, config).await? {
        None => {
            tx.commit().await.context("committing")?;
            (Verdict::CarriedOut, None)
        }
        Some((verdict, reason)) => {
            tx.rollback().await.context("ending the transaction")?;
            (verdict, Some(reason))
        }
    };
    let outcome = verdict.outcome(if fact == Fact::RefundAgain { "is refunded once more" } else { "settled" });
    config.common.print(&Decided { outcome, payment: id, reason }, |decided| match &decided.reason {
        Some(reason) => format!("{}: {}; nothing was changed\n", decided.outcome, one_line(reason)),
        None => format!("payment {} {}\n", decided.payment, decided.outcome),
    })?;
    Ok(verdict.status())
}

/// Why nothing may be decided; the caller rolls back then. The payment's row is locked before its effect's, as in a conclusion.
async fn apply(
    tx: &mut Transaction,
    id: PaymentId,
    fact: Fact,
    config: &DecisionConfig,
) -> anyhow::Result<Option<(Verdict, String)>> {
    let refused = |reason: String| Ok(Some((Verdict::Refused, reason)));
    let payment = match payments::lock(tx, id).await {
        Err(sqlx::Error::RowNotFound) => return Ok(Some((Verdict::NotFound, format!("no payment has the id {id}")))),
        found => found.context("locking a payment")?,
    };
    if payment.state.step(fact).is_none() {
        return refused(format!("payment {id} is {}", payment.state.as_str()));
    }
    let effect = stuck::last_effect(tx, id).await.context("reading a payment")?;
    if effect::end(tx, effect).await.context("ending an effect")? == Withdrawal::MayHappen {
        return refused(format!("effect {effect} is being performed, try again in a minute"));
    }
    stuck::record(tx, config.by(), action(fact), &payment).await.context("recording the action")?;
    let said = Said { decline_reason: (fact == Fact::NeverCharged).then_some(SETTLED_BY_HAND), ..Said::default() };
    advance(tx, &handler::for_verbs()?.outbox, &payment, fact, said).await?;
    Ok(None)
}

/// The name of a decision in its record.
fn action(fact: Fact) -> &'static str {
    match fact {
        Fact::RefundAgain => "refund",
        Fact::Charged => "settle as charged",
        Fact::Refunded => "settle as refunded",
        _ => "settle as never charged",
    }
}
