//! The signs that a stream lost something, strongest first. Pure.
//!
//! What a stream throws away by its own policy is no sign: its age limit and, under `discard: old`, its size limits take
//! the oldest messages, and a stream that keeps a few of each subject, or what nobody consumed, makes holes.

use std::time::Duration;

use crate::publisher::look::StreamNow;
use crate::store::relay_stream::StreamRow;

/// What gave a loss away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The stream is another one: it vanished, with its broker or without, and was made anew.
    Created,
    /// It ends below what it had acknowledged.
    LastSeq,
    /// Another message stands where one was seen.
    Rewritten,
    /// More messages are missing within it.
    Deleted,
    /// It begins above what is not proven yet.
    FirstSeq,
    /// What was published before any relay looked is not all there.
    History,
    /// It gave out a sequence again, as seen in the last one of each batch.
    PubAck,
    /// Another server answers for it, or the same one after a restart.
    Server,
}

impl Sign {
    /// All of them, for metrics that start at 0.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::LastSeq,
        Self::Rewritten,
        Self::Deleted,
        Self::FirstSeq,
        Self::History,
        Self::PubAck,
        Self::Server,
    ];

    /// The name in metrics and in `relay_stream`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::LastSeq => "last_seq",
            Self::Rewritten => "rewritten",
            Self::Deleted => "deleted",
            Self::FirstSeq => "first_seq",
            Self::History => "history",
            Self::PubAck => "puback",
            Self::Server => "server",
        }
    }

    /// For people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Created => "the stream was made anew",
            Self::LastSeq => "the stream ends below what it had acknowledged",
            Self::Rewritten => "another message stands where one was seen",
            Self::Deleted => "more messages are missing within the stream",
            Self::FirstSeq => "the stream begins above what is not proven yet",
            Self::History => "what was published before a relay first looked is not all in the stream",
            Self::PubAck => "the stream gave out a sequence again",
            Self::Server => "another server answers for the stream, or the same one after a restart",
        }
    }

    /// Whether it comes with every restart of a server that lost nothing, so that a look at the newest events is enough
    /// until it finds a loss.
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::PubAck | Self::Server)
    }
}

/// Holds the stream against what is remembered. `settled` is about the highest sequence of a settled event, `is_rewritten`
/// whether the message at the remembered end is another one.
pub fn find(known: &StreamRow, now: &StreamNow, settled: u64, is_rewritten: bool, horizon: Duration) -> Option<Sign> {
    let is_new = known.created_at.is_none();
    if !is_new && known.created_at != now.created_at {
        Some(Sign::Created)
    } else if now.last_seq < settled.max(known.last_seq) {
        Some(Sign::LastSeq)
    } else if is_rewritten {
        Some(Sign::Rewritten)
    } else if let Some(left) = &known.suspicion {
        // A relay died over it. What it changed may have removed the sign.
        Sign::ALL.into_iter().find(|sign| sign.as_str() == left).or(Some(Sign::Server))
    } else if !is_new && now.deleted > known.deleted && !now.policy.drops_inside {
        Some(Sign::Deleted)
    } else if !is_new && now.first_seq > known.first_seq.max(known.proven_seq + 1) && !drops_unproven(now, horizon) {
        Some(Sign::FirstSeq)
    } else if !is_new && known.server != now.server {
        Some(Sign::Server)
    } else {
        None
    }
}

/// Whether the stream's policy takes messages before they can be proven.
fn drops_unproven(now: &StreamNow, horizon: Duration) -> bool {
    let max_age = now.policy.max_age;
    now.policy.drops_oldest || (!max_age.is_zero() && max_age < horizon * 2)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::publisher::look::Policy;

    const HORIZON: Duration = Duration::from_secs(150);

    fn moment(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_secs(seconds)
    }

    fn known() -> StreamRow {
        StreamRow {
            created_at: moment(1),
            server: "a".to_owned(),
            first_seq: 1,
            last_seq: 100,
            last_stored_at: moment(100),
            proven_seq: 50,
            ..StreamRow::default()
        }
    }

    fn now() -> StreamNow {
        StreamNow {
            name: "ORDERS".to_owned(),
            created_at: moment(1),
            server: "a".to_owned(),
            messages: 110,
            first_seq: 1,
            last_seq: 110,
            last_stored_at: moment(110),
            deleted: 0,
            policy: Policy { max_age: Duration::from_secs(3600), drops_oldest: false, drops_inside: false },
        }
    }

    fn found(change: impl FnOnce(&mut StreamRow, &mut StreamNow)) -> Option<Sign> {
        let (mut known, mut now) = (known(), now());
        change(&mut known, &mut now);
        find(&known, &now, 105, false, HORIZON)
    }

    #[test]
    fn a_stream_that_goes_on_shows_no_sign() {
        assert_eq!(found(|_, _| {}), None);
        assert_eq!(found(|_, now| now.first_seq = 51), None, "what is proven may age out");
        assert_eq!(found(|known, _| *known = StreamRow::default()), None, "the first look");
    }

    #[test]
    fn each_loss_shows_its_sign() {
        assert_eq!(found(|_, now| now.created_at = moment(2)), Some(Sign::Created));
        assert_eq!(found(|_, now| now.last_seq = 104), Some(Sign::LastSeq));
        assert_eq!(found(|known, now| (known.last_seq, now.last_seq) = (120, 110)), Some(Sign::LastSeq));
        assert_eq!(found(|known, _| *known = StreamRow { last_seq: 120, ..StreamRow::default() }), Some(Sign::LastSeq));
        assert_eq!(find(&known(), &now(), 0, true, HORIZON), Some(Sign::Rewritten));
        assert_eq!(found(|_, now| now.deleted = 1), Some(Sign::Deleted));
        assert_eq!(found(|_, now| now.first_seq = 52), Some(Sign::FirstSeq));
        assert_eq!(found(|_, now| now.server = "b".to_owned()), Some(Sign::Server));
        assert_eq!(found(|known, _| known.suspicion = Some("deleted".to_owned())), Some(Sign::Deleted));
    }

    #[test]
    fn what_a_policy_throws_away_is_no_sign() {
        assert_eq!(found(|_, now| (now.first_seq, now.policy.drops_oldest) = (90, true)), None);
        assert_eq!(found(|_, now| (now.deleted, now.policy.drops_inside) = (9, true)), None);
        assert_eq!(found(|_, now| (now.first_seq, now.policy.max_age) = (90, Duration::from_secs(10))), None);
    }
}
