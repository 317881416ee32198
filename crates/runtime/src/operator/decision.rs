//! What a verb that decides is told, and what is kept of it: who, and the reason.

use std::process::ExitCode;

use clap::Args;

use super::CommonConfig;
use crate::config;
use crate::exit::{EXIT_NOT_FOUND, EXIT_REFUSED};

/// Settings of a verb that decides.
#[derive(Clone, Debug, Args)]
pub struct DecisionConfig {
    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,

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
    /// Who decides, and the reason.
    pub fn by(&self) -> By<'_> {
        By { actor: &self.common.actor, reason: &self.reason }
    }
}

/// What became of a decision. Of several decisions, the greatest is what became of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It was carried out.
    CarriedOut,
    /// What it is about is not there.
    NotFound,
    /// As things stand it must not be.
    Refused,
}

impl Verdict {
    /// The status of the verb.
    pub fn status(self) -> ExitCode {
        match self {
            Self::CarriedOut => ExitCode::SUCCESS,
            Self::NotFound => ExitCode::from(EXIT_NOT_FOUND),
            Self::Refused => ExitCode::from(EXIT_REFUSED),
        }
    }

    /// The word for it in an answer, where `done` is that of a decision that was carried out.
    pub const fn outcome(self, done: &'static str) -> &'static str {
        match self {
            Self::CarriedOut => done,
            Self::NotFound => "unknown",
            Self::Refused => "refused",
        }
    }
}
