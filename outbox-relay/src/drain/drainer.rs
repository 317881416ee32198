//! What a step of the relay works with, and why one fails.

use runtime::config::Misconfigured;
use runtime::mysql::{Pool, is_transient};

use super::claim::Rules;
use super::line::Lines;
use super::settler::{SettleError, Settler};
use crate::heal::WatchError;
use crate::limits::Judge;
use crate::metrics::Metrics;
use crate::publish::Outage;

/// Takes events from the outbox to the stream, step by step, in one tenure or another.
#[derive(Debug)]
pub struct Drainer {
    pub pool: Pool,
    pub lines: Lines,
    pub judge: Judge,
    pub settler: Settler,
    pub rules: Rules,
    pub batch_size_max: u32,
    pub metrics: Metrics,
}

/// Why the loop of steps has to pause, or to end.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    #[error(transparent)]
    Outage(#[from] Outage),
    #[error("reading the outbox")]
    Claim(#[source] sqlx::Error),
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error("watching the stream")]
    Watch(#[source] sqlx::Error),
    #[error("the tenure is over")]
    Over,
    #[error(transparent)]
    Misconfigured(Misconfigured),
}

impl From<WatchError> for TurnError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Outage(outage) => Self::Outage(outage),
            WatchError::Database(error) => Self::Watch(error),
            WatchError::LeaseLost => Self::Settle(SettleError::LeaseLost),
            WatchError::Over => Self::Over,
            WatchError::Misconfigured(misconfigured) => Self::Misconfigured(misconfigured),
        }
    }
}

impl TurnError {
    /// Whether waiting can fix it.
    pub fn passes(&self) -> bool {
        match self {
            Self::Outage(_) => true,
            Self::Claim(error) | Self::Settle(SettleError::Database(error)) | Self::Watch(error) => is_transient(error),
            Self::Settle(SettleError::LeaseLost) | Self::Over | Self::Misconfigured(_) => false,
        }
    }

    /// The label in metrics.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Outage(_) | Self::Misconfigured(_) => "broker",
            Self::Claim(_) | Self::Settle(_) | Self::Watch(_) | Self::Over => "database",
        }
    }
}
