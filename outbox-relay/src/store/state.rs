//! Where an event of the outbox stands.

use serde::Serialize;

/// A state of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum State {
    Pending,
    Published,
    Held,
    Dead,
}

impl State {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Published => "published",
            Self::Held => "held",
            Self::Dead => "dead",
        }
    }
}
