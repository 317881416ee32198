//! `suppression`: addresses that get no email.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use runtime::mysql::Receipt;
use runtime::operator::decision::{DecisionConfig, Verdict};
use runtime::operator::table::Table;
use runtime::operator::{CommonConfig, time};
use serde::Serialize;

use crate::address::{self, NO_ADDRESS};
use crate::store::suppression::{self, Suppressed};
use crate::suppression::Cause;

/// What to do with addresses that get no email.
#[derive(Debug, Subcommand)]
pub enum SuppressionVerb {
    /// List the addresses that get no email, masked, a line for each cause, and who added it.
    List(ListConfig),
    /// Have addresses get no email from now on, also none that waits already; exits 2 if one is suppressed for
    /// that cause already. All or none. An email that is under way is sent.
    Add(AddConfig),
    /// Have one cause not count any more; exits 3 if an address is not suppressed for it. All or none. Addresses without another cause
    /// get emails again; what was held back is not sent.
    Remove(RemoveConfig),
}

impl SuppressionVerb {
    /// What every one of them needs.
    pub fn common(&self) -> &CommonConfig {
        match self {
            Self::List(config) => &config.common,
            Self::Add(config) => &config.decision.common,
            Self::Remove(config) => &config.decision.common,
        }
    }
}

/// Settings of `suppression list`.
#[derive(Debug, Args)]
pub struct ListConfig {
    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,

    /// Only those with this cause.
    #[arg(long, value_enum)]
    pub cause: Option<Cause>,

    /// Addresses at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,

    /// Only addresses above this one: the last of the page before, which --show-personal-data shows. A beginning will do, such as m.
    #[arg(long, default_value = "")]
    pub after: String,
}

/// Settings of `suppression add`.
#[derive(Debug, Args)]
pub struct AddConfig {
    /// The addresses; upper and lower case are the same, and a domain in another script is its xn-- form.
    #[arg(required = true, value_parser = address)]
    pub addresses: Vec<String>,

    /// Why they get nothing.
    #[arg(long, value_enum, default_value = "operator")]
    pub cause: Cause,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub decision: DecisionConfig,
}

/// Settings of `suppression remove`.
#[derive(Debug, Args)]
pub struct RemoveConfig {
    /// The addresses, as for `suppression add`.
    #[arg(required = true, value_parser = address)]
    pub addresses: Vec<String>,

    /// Which cause: that a mailbox works again says nothing of whether its owner wants emails.
    #[arg(long, value_enum)]
    pub cause: Cause,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub decision: DecisionConfig,
}

#[derive(Serialize)]
struct Decided {
    #[serde(skip)]
    verdict: Verdict,
    outcome: &'static str,
    addresses: Vec<String>,
    /// Those that get nothing all the same, for another cause.
    still_suppressed: Vec<String>,
    /// Why nothing was changed.
    reason: Option<String>,
}

impl Decided {
    fn done(outcome: &'static str, addresses: Vec<String>) -> Self {
        Self { verdict: Verdict::CarriedOut, outcome, addresses, still_suppressed: Vec::new(), reason: None }
    }

    fn not(verdict: Verdict, addresses: Vec<String>, reason: String) -> Self {
        let outcome = verdict.outcome("");
        Self { verdict, outcome, addresses, still_suppressed: Vec::new(), reason: Some(reason) }
    }
}

fn address(text: &str) -> Result<String, &'static str> {
    address::plain(text).ok_or(NO_ADDRESS)
}

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub async fn suppression(verb: SuppressionVerb) -> anyhow::Result<ExitCode> {
    match verb {
        SuppressionVerb::List(config) => list(config).await,
        SuppressionVerb::Add(config) => add(config).await,
        SuppressionVerb::Remove(config) => remove(config).await,
    }
}

async fn list(ListConfig { common, cause, limit, after }: ListConfig) -> anyhow::Result<ExitCode> {
    let found = suppression::list(&common.pool().await?, cause, &after, limit).await.context("reading suppression")?;
    common.print(&found, |found| table(found))?;
    Ok(ExitCode::SUCCESS)
}

fn table(found: &[Suppressed]) -> String {
    let mut table = Table::new(&["cause", "added", "by", "reason", "address"]);
    for Suppressed { cause, added_at, added_by, reason, address } in found {
        table.row([cause.as_str().to_owned(), time(*added_at), added_by.clone(), reason.clone(), address.clone()]);
    }
    table.to_string()
}

async fn add(AddConfig { mut addresses, cause, decision }: AddConfig) -> anyhow::Result<ExitCode> {
    // Two persons who add the same ones wait for each other, and not both.
    addresses.sort();
    addresses.dedup();
    let mut tx = decision.common.pool().await?.begin().await.context("connecting to the database")?;
    for address in &addresses {
        if suppression::add(&mut tx, address, cause, decision.by()).await.context("writing suppression")?
            == Receipt::Duplicate
        {
            tx.rollback().await.context("ending the transaction")?;
            let reason = format!("{address} is suppressed for that cause already");
            return tell(&decision, &Decided::not(Verdict::Refused, addresses, reason));
        }
    }
    tx.commit().await.context("committing")?;
    tell(&decision, &Decided::done("added", addresses))
}

async fn remove(RemoveConfig { mut addresses, cause, decision }: RemoveConfig) -> anyhow::Result<ExitCode> {
    addresses.sort();
    addresses.dedup();
    let pool = decision.common.pool().await?;
    let mut tx = pool.begin().await.context("connecting to the database")?;
    for address in &addresses {
        if !suppression::remove(&mut tx, address, cause, decision.by()).await.context("writing suppression")? {
            tx.rollback().await.context("ending the transaction")?;
            let reason = format!("{address} is not suppressed for that cause");
            return tell(&decision, &Decided::not(Verdict::NotFound, addresses, reason));
        }
    }
    tx.commit().await.context("committing")?;
    let mut decided = Decided::done("removed", addresses);
    for address in &decided.addresses {
        if suppression::cause(&pool, address).await.context("reading suppression")?.is_some() {
            decided.still_suppressed.push(address.clone());
        }
    }
    tell(&decision, &decided)
}

fn tell(decision: &DecisionConfig, answer: &Decided) -> anyhow::Result<ExitCode> {
    decision.common.print(answer, |answer| match &answer.reason {
        Some(reason) => format!("{}: {reason}; nothing was changed\n", answer.outcome),
        None if answer.still_suppressed.is_empty() => {
            format!("{} addresses {}\n", answer.addresses.len(), answer.outcome)
        }
        None => {
            let Decided { addresses, outcome, still_suppressed, .. } = answer;
            format!(
                "{} addresses {outcome}; {} still suppressed for another cause\n",
                addresses.len(),
                still_suppressed.len()
            )
        }
    })?;
    Ok(answer.verdict.status())
}
