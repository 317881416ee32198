//! `outbox-relay event requeue`: dead events get their attempts again, and what was held behind them goes on. So do events that
//! somebody else than a relay marked as published.
//!
//! What still breaks the contract would be dead again at once, so it is refused with the reason, by the check that a claim
//! makes. Named events are requeued all or none; of those that a filter finds, the ones that break it are left dead and named.

use std::process::ExitCode;

use anyhow::Context;
use runtime::exit;
use runtime::mysql::Transaction;
use schema::sequence::Seq;
use serde::Serialize;
use uuid::Uuid;

use super::chosen::{changed_meanwhile, check_chosen, each_once, scope_of};
use crate::event::Event;
use crate::limits::SENSIBLE_BYTES_MAX;
use crate::store::action::{self, Action, Verb};
use crate::store::column::JsonText;
use crate::store::outbox_operator::ChosenState;
use crate::store::{outbox_held, outbox_operator};
use runtime::operator::CommonConfig;

/// Settings of `requeue`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["events", "dead"]))]
pub struct RequeueConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// Ids of events that are dead, or marked as published though no relay published them.
    pub events: Vec<Uuid>,

    /// Requeue dead events, narrowed by --type and --error.
    #[arg(long)]
    pub dead: bool,

    /// With --dead: only events of this type.
    #[arg(long = "type", requires = "dead")]
    pub event_type: Option<String>,

    /// With --dead: only events whose last error has this text in it.
    #[arg(long = "error", requires = "dead")]
    pub error_part: Option<String>,

    /// With --dead: at most so many, oldest first.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

#[derive(Serialize)]
struct Requeued {
    requeued: u64,
    /// Held events that go on.
    released: u64,
    events: Vec<Uuid>,
    /// Events that are left dead.
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Refused {
    event: Uuid,
    /// What to fix first.
    reason: String,
}

/// Events whose rows are read at once.
const PIECE: usize = 50;

/// Which of the events still break the contract.
async fn refused(tx: &mut Transaction, seqs: &[Seq]) -> anyhow::Result<Vec<Refused>> {
    let mut refused = Vec::new();
    for piece in seqs.chunks(PIECE) {
        let rows = outbox_operator::as_claimed(tx, piece, SENSIBLE_BYTES_MAX).await.context("reading the outbox")?;
        for mut row in rows {
            let event = row.event_id;
            // The broker says whether it is too large now.
            row.payload.get_or_insert_with(|| JsonText("{}".into()));
            if let Err(reason) = Event::from_row(row, "") {
                refused.push(Refused { event, reason });
            }
        }
    }
    Ok(refused)
}

/// Requeues in one transaction: all or none.
///
/// # Errors
/// If one of the events is neither dead nor unsettled, or still breaks the contract, or the database refuses; nothing was changed then.
pub async fn requeue(config: RequeueConfig) -> anyhow::Result<ExitCode> {
    let pool = config.common.pool().await?;
    let mut tx = pool.begin().await.context("connecting to the database")?;
    let chosen = if config.dead {
        outbox_operator::dead(&mut tx, config.event_type.as_deref(), config.error_part.as_deref(), config.limit).await
    } else {
        outbox_operator::by_ids(&mut tx, &each_once(&config.events)).await
    };
    let chosen = chosen.context("reading the outbox")?;
    check_chosen(&config.events, &chosen, &[ChosenState::Dead, ChosenState::Unsettled])?;

    let seqs: Vec<Seq> = chosen.iter().map(|row| row.seq).collect();
    let refused = refused(&mut tx, &seqs).await?;
    if let Some(Refused { event, reason }) = refused.first().filter(|_| !config.dead) {
        anyhow::bail!(exit::Refused(format!("event {event} would be dead again: {reason}; nothing was changed")));
    }
    let mut chosen = chosen;
    chosen.retain(|row| refused.iter().all(|refused| refused.event != row.event_id));
    let seqs: Vec<Seq> = chosen.iter().map(|row| row.seq).collect();
    let requeued = outbox_operator::requeue(&mut tx, &seqs).await.context("requeueing")?;
    anyhow::ensure!(requeued == seqs.len() as u64, changed_meanwhile());
    let released = outbox_held::release_later(&mut tx, &seqs).await.context("releasing held events")?;
    let scope = scope_of(&chosen);
    let entry =
        Action { actor: &config.common.actor, verb: Verb::Requeue, scope: &scope, reason: None, events: requeued };
    if requeued > 0 {
        action::record(&mut tx, &entry).await.context("recording the action")?;
    }
    tx.commit().await.context("committing")?;

    let events = chosen.iter().map(|row| row.event_id).collect();
    config.common.print(&Requeued { requeued, released, events, refused }, |answer| {
        let mut said = format!("{} events requeued, {} held events go on\n", answer.requeued, answer.released);
        for Refused { event, reason } in &answer.refused {
            said.push_str(&format!("event {event} is left dead, it would be again: {reason}\n"));
        }
        said
    })?;
    Ok(ExitCode::SUCCESS)
}
