//! What the verbs of operators share: how they reach the database, who they are, and how they answer.

use std::collections::BTreeSet;

use anyhow::Context;
use runtime::mysql::{self, DatabaseConfig, Pool};
use runtime::terminal;
use serde::Serialize;
use uuid::Uuid;

use crate::store::outbox_operator::ChosenRow;

/// Settings of a verb that looks.
#[derive(Clone, Debug, clap::Args)]
pub struct LookConfig {
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Settings of a verb that changes something.
#[derive(Clone, Debug, clap::Args)]
pub struct ActConfig {
    #[command(flatten)]
    pub look: LookConfig,

    /// Who you are, for the record in outbox_action.
    #[arg(long, env = "USER", default_value = "unknown", value_parser = runtime::config::actor)]
    pub actor: String,
}

impl LookConfig {
    /// Connects when first used.
    ///
    /// # Errors
    /// If the URL can't be parsed.
    pub fn pool(&self) -> anyhow::Result<Pool> {
        Ok(mysql::pool(&self.database).context("DATABASE_URL is malformed")?.patient())
    }

    /// Prints what a program would read, or what a person would: lines in which the texts of others are escaped, each of
    /// which the caller keeps in its line by [`terminal::one_line`].
    ///
    /// # Errors
    /// If it can't be written as JSON.
    pub fn print<T: Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        Ok(terminal::print(answer, self.json, text)?)
    }
}

/// The ids, each once: naming an event twice means it once.
pub fn each_once(named: &[Uuid]) -> Vec<Uuid> {
    named.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Refuses the whole verb unless each event that was named is there, in one of these states.
///
/// # Errors
/// The first that is not.
pub fn check_chosen(named: &[Uuid], chosen: &[ChosenRow], states: &[&str]) -> anyhow::Result<()> {
    for id in named {
        let row = chosen.iter().find(|row| row.event_id == *id);
        let row = row.with_context(|| format!("there is no event {id} in the outbox; nothing was changed"))?;
        let expected = states.join(" or ");
        anyhow::ensure!(
            states.contains(&row.state.as_str()),
            "event {id} is {}, not {expected}; nothing was changed",
            row.state
        );
    }
    Ok(())
}

/// The ids as one text, for the record.
pub fn scope_of(chosen: &[ChosenRow]) -> String {
    chosen.iter().map(|row| row.event_id.to_string()).collect::<Vec<_>>().join(" ")
}
