//! Newtypes of the two sequences that an event has: its place in the outbox and its place in the stream.
//!
//! Guarantees that one can't stand where the other belongs, nor a count where either does. Both begin at 1. No arithmetic
//! overflows: what is before the first is 0, and nothing is after the last.

use serde::{Deserialize, Serialize};

macro_rules! sequence {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Before the first.
            pub const ZERO: Self = Self(0);
            /// After all others.
            pub const MAX: Self = Self(u64::MAX);

            /// The one after it.
            pub const fn next(self) -> Self {
                self.plus(1)
            }

            /// The one before it.
            pub const fn previous(self) -> Self {
                self.minus(1)
            }

            /// So many further on.
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }

            /// So many further back.
            pub const fn minus(self, count: u64) -> Self {
                Self(self.0.saturating_sub(count))
            }

            /// How many there are after `earlier` and up to this one; 0 if it is not earlier.
            pub const fn distance_from(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }

            /// As a gauge or an attribute of a span has it.
            pub fn as_i64(self) -> i64 {
                i64::try_from(self.0).unwrap_or(i64::MAX)
            }
        }

        /// `query_as!` reads a column with it.
        impl From<u64> for $name {
            fn from(sequence: u64) -> Self {
                Self(sequence)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

sequence! {
    /// The place of a row in its outbox, in the order of insertion. It names no event for good: after a failover to a replica
    /// that lagged, or a restore, the same number is another event.
    Seq
}
sequence! {
    /// The place of a message in a stream. A row of the outbox has 0 until it is settled.
    StreamSeq
}
