//! What can be wrong between stream, consumer and database, and is repaired: in words for the log and for metrics.

/// What is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The consumer was deleted, or lost with its broker.
    ConsumerGone,
    /// Its settings are not ours.
    ConsumerAltered,
    /// It has read further than the stream goes.
    ConsumerAhead,
    /// It begins again with what was read long ago.
    ConsumerRewound,
    /// Other messages stand in the stream than were read, or than the consumer was made for.
    StreamRewritten,
    /// The broker counts as done what the database does not know.
    EventsSkipped,
    /// The effect of the last message is not in the database any more.
    EffectsGone,
}

impl Repair {
    /// All of them, for metrics that start at 0.
    pub const ALL: [Self; 7] = [
        Self::ConsumerGone,
        Self::ConsumerAltered,
        Self::ConsumerAhead,
        Self::ConsumerRewound,
        Self::StreamRewritten,
        Self::EventsSkipped,
        Self::EffectsGone,
    ];

    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ConsumerGone => "consumer_gone",
            Self::ConsumerAltered => "consumer_altered",
            Self::ConsumerAhead => "consumer_ahead",
            Self::ConsumerRewound => "consumer_rewound",
            Self::StreamRewritten => "stream_rewritten",
            Self::EventsSkipped => "events_skipped",
            Self::EffectsGone => "effects_gone",
        }
    }

    /// What is done about it.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::ConsumerGone => "the consumer is gone; it goes on after the last message that was read",
            Self::ConsumerAltered => "somebody changed the consumer; it is set up as ours again",
            Self::ConsumerAhead => "the consumer has read further than the stream goes; it is replaced",
            Self::ConsumerRewound => "the consumer reads again what was read; it goes on after the last message",
            Self::StreamRewritten => "the stream holds other messages than were read; all of it is read again",
            Self::EventsSkipped => "the broker counts as done what the database does not know; it is read again",
            Self::EffectsGone => "the database has lost the effect of the last message; it is read again from before",
        }
    }
}
