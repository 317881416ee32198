//! `outbox-relay event discard`: a person gives events up for good, and what was held behind them goes on.
//!
//! Guarantees that the event is kept in `outbox_discarded` as it was, and that consumers learn of its version: the row
//! is published as a tombstone, in its turn and with the relay's retries. Only an event without a version, for which no
//! consumer waits, or one of which no message can be made (`--no-tombstone`), leaves nothing in the stream.

use std::process::ExitCode;

use anyhow::Context;
use schema::sequence::Seq;
use serde::Serialize;
use uuid::Uuid;

use super::chosen::{changed_meanwhile, check_chosen, each_once, scope_of};
use crate::store::action::{self, Action, Verb};
use crate::store::outbox_operator::{self, ChosenRow, ChosenState};
use crate::store::{discarded, outbox_held};
use crate::subject;
use runtime::exit::Refused;
use runtime::operator::CommonConfig;

/// Settings of `discard`.
#[derive(Clone, Debug, clap::Args)]
pub struct DiscardConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// Ids of dead or held events.
    #[arg(required = true)]
    pub events: Vec<Uuid>,

    /// Why they are given up, for the record.
    #[arg(long, value_parser = runtime::config::reason)]
    pub reason: String,

    /// Subject of the tombstones, for events whose own subject can't be published to.
    #[arg(long)]
    pub subject: Option<String>,

    /// Publish no tombstone, for events of which no message can be made. Consumers that keep versions in order will
    /// wait for the version in vain.
    #[arg(long, conflicts_with = "subject")]
    pub no_tombstone: bool,
}

#[derive(Serialize)]
struct Discarded {
    discarded: u64,
    /// Of these, how many leave a tombstone in the stream.
    tombstones: u64,
    /// Held events that go on.
    released: u64,
}

/// Discards in one transaction: all or none.
///
/// # Errors
/// If one of the events is neither dead nor held, or its tombstone could not be published; nothing was changed then.
pub async fn discard(config: DiscardConfig) -> anyhow::Result<ExitCode> {
    let common = &config.common;
    let pool = common.pool().await?;
    let mut tx = pool.begin().await.context("connecting to the database")?;
    let chosen = outbox_operator::by_ids(&mut tx, &each_once(&config.events)).await.context("reading the outbox")?;
    check_chosen(&config.events, &chosen, &[ChosenState::Dead, ChosenState::Held])?;
    let (with, without): (Vec<_>, Vec<_>) = chosen.iter().partition(|row| leaves_tombstone(row, &config));
    for row in &with {
        let subject = config.subject.as_deref().unwrap_or(&row.subject);
        let hint = "name one with --subject; nothing was changed";
        subject::check(subject).map_err(|fault| Refused(format!("event {}: {fault}: {hint}", row.event_id)))?;
    }

    let seqs: Vec<Seq> = chosen.iter().map(|row| row.seq).collect();
    let recorded = discarded::record(&mut tx, &seqs, &common.actor, &config.reason).await.context("recording")?;
    let tombstones =
        outbox_operator::make_tombstones(&mut tx, &seqs, config.subject.as_deref()).await.context("discarding")?;
    let planned = seqs.len() as u64;
    anyhow::ensure!((recorded, tombstones) == (planned, planned), changed_meanwhile());
    let released = outbox_held::release_later(&mut tx, &seqs).await.context("releasing held events")?;
    let without: Vec<Seq> = without.iter().map(|row| row.seq).collect();
    outbox_operator::remove_tombstones(&mut tx, &without).await.context("removing")?;
    let scope = scope_of(&chosen);
    let reason = Some(config.reason.as_str());
    let entry = Action { actor: &common.actor, verb: Verb::Discard, scope: &scope, reason, events: tombstones };
    action::record(&mut tx, &entry).await.context("recording the action")?;
    tx.commit().await.context("committing")?;

    let answer = Discarded { discarded: tombstones, tombstones: with.len() as u64, released };
    common.print(&answer, |answer| {
        let Discarded { discarded, tombstones, released } = answer;
        format!("{discarded} events discarded, {tombstones} tombstones to be published, {released} held events go on\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Versions begin at 1: nobody waits for version 0.
fn leaves_tombstone(row: &ChosenRow, config: &DiscardConfig) -> bool {
    !config.no_tombstone && row.aggregate_version.is_some_and(|version| version > 0)
}
