//! Whether the stream is one that this outbox was never published to: that is no loss, but a setting that is wrong, and
//! filling such a stream would bring its consumers events that are not for them. Pure.
//!
//! A broker has no name that outlives its store and that all have. But a stream that was made again is younger than the last
//! message of the one that it stands for. One that was there before is another broker's, or came out of an old backup.

use chrono::{DateTime, TimeDelta, Utc};
use runtime::config::Misconfigured;

use crate::publisher::look::StreamNow;
use crate::store::relay_stream::StreamRow;

/// What the clocks of a cluster's servers may differ by.
const SKEW_MAX: TimeDelta = TimeDelta::minutes(1);

/// Refuses a stream of another name than the one that is remembered.
pub fn check_name(known: &StreamRow, name: &str) -> Result<(), Misconfigured> {
    match &known.stream {
        Some(before) if before != name => {
            Err(refusal(&format!("STREAM is {name}, but this outbox is published to the stream {before}")))
        }
        _ => Ok(()),
    }
}

/// Refuses a stream that can't be the one that is remembered, nor one that was made in its place.
pub fn check(known: &StreamRow, now: &StreamNow) -> Result<(), Misconfigured> {
    check_name(known, &now.name)?;
    let (Some(before), Some(created_at)) = (known.created_at, now.created_at) else { return Ok(()) };
    let last: DateTime<Utc> = known.last_stored_at.unwrap_or(before);
    if created_at == before || created_at + SKEW_MAX >= last {
        return Ok(());
    }
    Err(refusal(&format!(
        "the stream {} at NATS_URL was made at {created_at}, before the one that this outbox is published to took its last \
         message at {last}: it is another broker's, or an old backup",
        now.name
    )))
}

fn refusal(what: &str) -> Misconfigured {
    Misconfigured(format!(
        "{what}; mend the setting, or, if the change is meant, stop all relays and run `outbox-relay forget-stream --reason \
         TEXT`: what the outbox still has is then published to the stream of the settings"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publisher::look::Policy;

    fn moment(minutes: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_secs(minutes * 60)
    }

    fn accepts(name: &str, created: i64, last_stored_at: Option<DateTime<Utc>>) -> bool {
        let stream = Some("ORDERS".to_owned());
        let known = StreamRow { stream, created_at: moment(100), last_stored_at, ..StreamRow::default() };
        let policy = Policy { max_age: std::time::Duration::ZERO, drops_oldest: false, drops_inside: false };
        let now = StreamNow {
            name: name.to_owned(),
            created_at: moment(created),
            server: String::new(),
            messages: 0,
            first_seq: 0,
            last_seq: 0,
            last_stored_at: None,
            deleted: 0,
            policy,
        };
        check(&known, &now).is_ok()
    }

    #[test]
    fn the_same_stream_or_one_made_later_is_accepted_and_no_other() {
        assert!(accepts("ORDERS", 100, moment(200)));
        assert!(accepts("ORDERS", 201, moment(200)));
        assert!(accepts("ORDERS", 199, moment(200)), "clocks differ");
        assert!(!accepts("ORDERS", 198, moment(200)));
        assert!(!accepts("ORDERS", 98, None));
        assert!(accepts("ORDERS", 101, None));
        assert!(!accepts("OTHERS", 100, moment(200)));
    }
}
