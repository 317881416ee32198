//! What a verb that decides is told, and what is kept of it: who, and the reason.

use std::process::ExitCode;

use clap::Args;

use super::{ActConfig, CommonConfig};
use crate::config;
use crate::exit::EXIT_REFUSED;

/// Settings of a verb that decides.
#[derive(Clone, Debug, Args)]
pub struct DecisionConfig {
    /// See [`ActConfig`].
    #[command(flatten)]
    pub act: ActConfig,

    /// The reason, for the record.
    #[arg(long, value_parser = config::reason)]
    pub reason: String,
}

/// Who decides something, and the reason.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// Who.
    pub actor: &'a str,
    /// For what reason.
    pub reason: &'a str,
}

impl DecisionConfig {
    /// What it has as every verb has.
    pub fn common(&self) -> &CommonConfig {
        &self.act.common
    }

    /// Who decides, and the reason.
    pub fn by(&self) -> By<'_> {
        By { actor: &self.act.actor, reason: &self.reason }
    }
}

/// The status of a verb whose answer says that a decision was refused, if it was.
pub fn decided(is_carried_out: bool) -> ExitCode {
    if is_carried_out { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) }
}
