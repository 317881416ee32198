//! How often an event was lost at the broker.

use serde::Serialize;

/// How often the broker lost an event, about; a part of its dedup id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct HealEpoch(pub u32);

impl HealEpoch {
    /// Of an event that was never lost.
    pub const NONE: Self = Self(0);

    /// The one after it, never that of an event that was never lost: after the largest comes 1 again.
    pub const fn next(self) -> Self {
        Self(self.0 % u32::MAX + 1)
    }
}

/// `query_as!` reads a column with it.
impl From<u32> for HealEpoch {
    fn from(epoch: u32) -> Self {
        Self(epoch)
    }
}

impl std::fmt::Display for HealEpoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
