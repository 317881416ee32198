//! What becomes of a message: in metrics, in answers to the broker, and in what is noted as read.

use runtime::mysql::Receipt;

/// What became of a message. It is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its event has had its effect, now or before.
    Applied(Receipt),
    /// It is a tombstone: its version counts, and nothing else.
    Tombstone,
    /// Its type is none that the service handles: its version counts, and nothing else.
    Ignored,
    /// It is about another type of aggregate: none of this inbox's business, and kept nowhere.
    Foreign,
    /// An earlier version of its aggregate has not come yet: it is parked.
    Early,
    /// The service can't write its effect yet: it is parked and tried again.
    Later,
    /// The database refuses its effect: it is parked and tried again, until its attempts are spent.
    Failed,
    /// Its id was used before with another payload, or its version by another event; it is in `inbox_dead`.
    Conflict,
    /// It can't be processed; it is in `inbox_dead`.
    Dead,
}

impl Outcome {
    /// All of them, for metrics that start at 0.
    pub const ALL: [Self; 10] = [
        Self::Applied(Receipt::First),
        Self::Applied(Receipt::Duplicate),
        Self::Tombstone,
        Self::Ignored,
        Self::Foreign,
        Self::Early,
        Self::Later,
        Self::Failed,
        Self::Conflict,
        Self::Dead,
    ];

    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Applied(Receipt::First) => "first",
            Self::Applied(Receipt::Duplicate) => "duplicate",
            Self::Tombstone => "tombstone",
            Self::Ignored => "ignored",
            Self::Foreign => "foreign",
            Self::Early => "early",
            Self::Later => "later",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
            Self::Dead => "dead",
        }
    }

    /// Whether the inbox knows what to do about it without a person: the message is acknowledged, and else terminated.
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Conflict | Self::Dead)
    }

    /// Whether its event has a row in the inbox since, and its version has moved the gate.
    pub const fn is_recorded(self) -> bool {
        matches!(self, Self::Applied(Receipt::First) | Self::Tombstone | Self::Ignored)
    }
}
