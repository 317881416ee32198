//! What can keep messages from being processed, in words that may leave the process.

use chrono::{DateTime, Utc};

/// A fault that passes, or that an operator must fix; the log has the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection to the broker, or JetStream does not answer.
    BrokerUnreachable,
    /// The relay has not made the stream yet, or it vanished.
    StreamMissing,
    /// The broker did not take the consumer's settings.
    ConsumerRefused,
    /// Stream, consumer and database do not fit each other any more.
    ConsumerUnfit,
    /// The stream's leader says that other messages stand in it than were read, and may be an old one.
    StreamDoubted,
    /// The broker ended the pull, or fell silent.
    PullLost,
    /// The database is away, read-only or overloaded.
    DatabaseUnavailable,
    /// The database answers with a fault that waiting won't fix, such as a missing grant.
    DatabaseRefuses,
}

/// The last fault, and when it was last seen.
#[derive(Clone, Copy, Debug)]
pub struct LastFault {
    /// What it was.
    pub fault: Fault,
    /// When.
    pub at: DateTime<Utc>,
}

impl Fault {
    /// Its name for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BrokerUnreachable => "broker-unreachable",
            Self::StreamMissing => "stream-missing",
            Self::ConsumerRefused => "consumer-refused",
            Self::ConsumerUnfit => "consumer-unfit",
            Self::StreamDoubted => "stream-doubted",
            Self::PullLost => "pull-lost",
            Self::DatabaseUnavailable => "database-unavailable",
            Self::DatabaseRefuses => "database-refuses",
        }
    }

    /// The fault in words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::BrokerUnreachable => "the broker is not reachable",
            Self::StreamMissing => "the stream does not exist; the outbox relay makes it",
            Self::ConsumerRefused => "the broker refused the consumer's settings",
            Self::ConsumerUnfit => "stream, consumer and database do not fit each other; it is repaired",
            Self::StreamDoubted => {
                "a leader that may be cut off from the other servers says that the stream holds other messages than were \
                 read; it is believed if that is so for half a minute"
            }
            Self::PullLost => "the broker ended a pull or fell silent",
            Self::DatabaseUnavailable => "the database is not available; messages are held",
            Self::DatabaseRefuses => "the database refuses to store effects; messages are held",
        }
    }

    /// What follows from it, and what to do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::BrokerUnreachable => "no event has an effect until it answers; see to NATS and the network",
            Self::StreamMissing => "no event has an effect until then; see to the outbox relay",
            Self::ConsumerRefused => {
                "no event has an effect until it takes them; compare this user's rights with accounts.conf, and the stream's \
                 max_consumers and consumer_limits with `outbox-relay stream check`"
            }
            Self::ConsumerUnfit | Self::PullLost => "nothing is lost, it is attached to again",
            Self::StreamDoubted => {
                "nothing is lost, no event has an effect until then; see to the servers that can't reach each other"
            }
            Self::DatabaseUnavailable => "nothing is lost; see to the database",
            Self::DatabaseRefuses => {
                "nothing is lost, no event has an effect until it takes them; apply the migrations (verb `migrate`) and the file of \
                 schema/grants for this database"
            }
        }
    }
}
