//! The verbs for operators: each opens the database, says what it found and ends. Tables for people, `--json` for programs.

pub mod dead;
pub mod email;
pub mod gaps;
pub mod inbox;
pub mod reread;
pub mod skip;
pub mod status;

use clap::Args;
use runtime::operator::{self, LookConfig};

use crate::store::inbox_action::By;

/// Settings of a verb that decides.
#[derive(Clone, Debug, Args)]
pub struct DecisionConfig {
    /// See [`operator::ActConfig`].
    #[command(flatten)]
    pub act: operator::ActConfig,

    /// The reason, for the record.
    #[arg(long, value_parser = runtime::config::reason)]
    pub reason: String,
}

impl DecisionConfig {
    /// What it has as every verb has.
    pub fn look(&self) -> &LookConfig {
        &self.act.look
    }

    fn by(&self) -> By<'_> {
        By { actor: &self.act.actor, reason: &self.reason }
    }
}
