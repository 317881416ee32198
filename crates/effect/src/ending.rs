//! What an attempt leaves behind: an effect that is tried again, or one that has ended.

use std::time::Duration;

use crate::store::settlement::Again;

/// What is written about an effect.
pub(crate) enum Settlement<O> {
    Again(Again),
    /// It ends, and with it what its outcome means, if it has one.
    Ended(End, Option<O>),
}

/// As what an effect ends.
pub(crate) enum End {
    Done,
    Withdrawn { reason: String },
    Dead { is_unknown: bool, error: String },
}

impl<O> Settlement<O> {
    /// Until it is tried again.
    pub(crate) fn delay(&self) -> Duration {
        match self {
            Self::Again(again) => again.delay,
            Self::Ended(..) => Duration::ZERO,
        }
    }
}
