//! The signs that a stream lost something, strongest first. Pure.
//!
//! What a stream throws away by its own policy is no sign: its age limit and, under `discard: old`, its size limits take
//! the oldest messages, and a stream that keeps a few of each subject, or what nobody consumed, makes holes. A limit that takes
//! what a consumer had not read yet is reported ([`super::unread`]), and becomes a sign when it is changed.

use chrono::{DateTime, TimeDelta, Utc};
use schema::sequence::StreamSeq;

use crate::publish::stream_now::StreamNow;
use crate::store::relay_stream::StreamRow;

/// What gave a loss away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The stream is another one, by its messages: it vanished, with its broker or without, and was made again.
    Created,
    /// It ends below what it had acknowledged.
    LastSeq,
    /// Another message stands where one was seen.
    Rewritten,
    /// More messages are missing within it.
    Deleted,
    /// It begins later, and not because of its age limit.
    FirstSeq,
    /// A limit that dropped what a consumer had not read is another one now.
    Limits,
    /// What was published before any relay checked is not all there.
    History,
    /// It gave out a sequence again, as seen in the last one of each batch.
    PubAck,
    /// Another server answers for it, or the same one after a restart.
    Server,
}

impl Sign {
    /// All of them, for metrics that start at 0.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::LastSeq,
        Self::Rewritten,
        Self::Deleted,
        Self::FirstSeq,
        Self::Limits,
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
            Self::Limits => "limits",
            Self::History => "history",
            Self::PubAck => "puback",
            Self::Server => "server",
        }
    }

    /// For people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Created => "the stream was made again",
            Self::LastSeq => "the stream ends below what it had acknowledged",
            Self::Rewritten => "another message stands where one was seen",
            Self::Deleted => "more messages are missing within the stream",
            Self::FirstSeq => "the stream begins later, and not because of its age limit",
            Self::Limits => "a limit that dropped what a consumer had not read was changed",
            Self::History => "what was published a longer time ago is not all in the stream",
            Self::PubAck => "the stream gave out a sequence again",
            Self::Server => "another server answers for the stream, or the same one after a restart",
        }
    }

    /// Whether it comes with every restart of a server that lost nothing, so that a comparison of the newest events is enough
    /// until it finds a loss.
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::PubAck | Self::Server)
    }

    /// Whether it may have taken what was proven, too, and does not say what.
    pub const fn doubts_proven(self) -> bool {
        matches!(self, Self::Deleted | Self::FirstSeq)
    }
}

/// What the broker's clock may differ from ours by, and how late it may be to throw an old message away or not.
const AGE_SLACK: TimeDelta = TimeDelta::minutes(1);

/// Holds the stream, which is the one that is remembered unless `created_at` differs, against what is remembered. `settled` is
/// about the highest sequence of a settled event, `is_rewritten` whether the message at the remembered end is another one,
/// `at` the time by our clock.
pub fn find(
    known: &StreamRow,
    now: &StreamNow,
    settled: StreamSeq,
    is_rewritten: bool,
    at: DateTime<Utc>,
) -> Option<Sign> {
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
    } else if !is_new && now.first_seq > known.first_seq && !ages(known, now, at) {
        Some(Sign::FirstSeq)
    } else if known.unread_dropped > 0 && known.limits != now.policy.limits && !now.policy.drops_unread() {
        Some(Sign::Limits)
    } else if !is_new && known.server != now.server {
        Some(Sign::Server)
    } else {
        None
    }
}

/// Whether the stream's policy explains that its oldest messages are gone.
fn ages(known: &StreamRow, now: &StreamNow, at: DateTime<Utc>) -> bool {
    // None of those that are gone is younger.
    let youngest = now.first_stored_at.or(known.last_stored_at);
    let max_age = TimeDelta::from_std(now.policy.max_age).unwrap_or(TimeDelta::MAX);
    let is_old = |youngest| at.signed_duration_since(youngest) + AGE_SLACK >= max_age;
    now.policy.drops_oldest || now.policy.drops_inside || (!max_age.is_zero() && youngest.is_none_or(is_old))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::publish::stream_now::Policy;

    fn moment(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_secs(seconds)
    }

    fn known() -> StreamRow {
        StreamRow {
            created_at: moment(1),
            server: "a".to_owned(),
            first_seq: StreamSeq(1),
            last_seq: StreamSeq(100),
            last_stored_at: moment(100),
            proven_seq: StreamSeq(50),
            ..StreamRow::default()
        }
    }

    fn now() -> StreamNow {
        StreamNow {
            name: "ORDERS".to_owned(),
            created_at: moment(1),
            server: "a".to_owned(),
            is_replicated: false,
            first_seq: StreamSeq(1),
            first_stored_at: moment(1),
            last_seq: StreamSeq(110),
            last_stored_at: moment(110),
            deleted: 0,
            policy: Policy { max_age: Duration::from_secs(3600), ..Policy::default() },
        }
    }

    fn found(change: impl FnOnce(&mut StreamRow, &mut StreamNow)) -> Option<Sign> {
        let (mut known, mut now) = (known(), now());
        change(&mut known, &mut now);
        find(&known, &now, StreamSeq(105), false, DateTime::from_timestamp_secs(110).unwrap())
    }

    #[test]
    fn a_stream_that_goes_on_shows_no_sign() {
        assert_eq!(found(|_, _| {}), None);
        assert_eq!(found(|known, _| *known = StreamRow::default()), None, "the first check");
    }

    #[test]
    fn each_loss_shows_its_sign() {
        assert_eq!(found(|_, now| now.created_at = moment(2)), Some(Sign::Created));
        assert_eq!(found(|_, now| now.last_seq = StreamSeq(104)), Some(Sign::LastSeq));
        assert_eq!(
            found(|known, now| (known.last_seq, now.last_seq) = (StreamSeq(120), StreamSeq(110))),
            Some(Sign::LastSeq)
        );
        assert_eq!(
            found(|known, _| *known = StreamRow { last_seq: StreamSeq(120), ..StreamRow::default() }),
            Some(Sign::LastSeq)
        );
        assert_eq!(find(&known(), &now(), StreamSeq::ZERO, true, Utc::now()), Some(Sign::Rewritten));
        assert_eq!(found(|_, now| now.deleted = 1), Some(Sign::Deleted));
        assert_eq!(found(|_, now| now.first_seq = StreamSeq(2)), Some(Sign::FirstSeq));
        assert_eq!(
            found(|known, now| (known.last_stored_at, now.first_stored_at, now.first_seq) =
                (moment(100), None, StreamSeq(111))),
            Some(Sign::FirstSeq)
        );
        let changed =
            |known: &mut StreamRow, _: &mut StreamNow| (known.unread_dropped, known.limits) = (1, "a limit".to_owned());
        assert_eq!(found(changed), Some(Sign::Limits));
        assert_eq!(found(|_, now| now.server = "b".to_owned()), Some(Sign::Server));
        assert_eq!(found(|known, _| known.suspicion = Some("deleted".to_owned())), Some(Sign::Deleted));
    }

    #[test]
    fn what_a_policy_throws_away_is_no_sign() {
        assert_eq!(found(|_, now| (now.first_seq, now.policy.drops_oldest) = (StreamSeq(90), true)), None);
        assert_eq!(found(|_, now| (now.deleted, now.policy.drops_inside) = (9, true)), None);
        let aged = |first_stored_at| {
            found(|_, now| {
                (now.first_seq, now.first_stored_at) = (StreamSeq(90), first_stored_at);
                now.policy.max_age = Duration::from_secs(80);
            })
        };
        assert_eq!(aged(moment(40)), None);
        assert_eq!(aged(moment(95)), Some(Sign::FirstSeq));
    }
}
