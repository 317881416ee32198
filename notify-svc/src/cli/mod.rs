//! The verbs for operators: each opens the database, says what it found and ends. Tables for people, `--json` for programs.

pub mod email;
pub mod gap;
pub mod inbox;
pub mod message;
pub mod status;
pub mod stream;

use std::process::ExitCode;

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

/// A decision that was refused is exit 1.
fn decided(is_carried_out: bool) -> ExitCode {
    if is_carried_out { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
