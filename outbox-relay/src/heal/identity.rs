//! Which stream it is: the one that is remembered, one that was made in its place, or one that this outbox was never published to.
//! The last is no loss, but a setting that is wrong: filling such a stream would bring its consumers events that are not for
//! them.
//!
//! A broker has no name that outlives its store and that all have, and the time at which it says that it made the stream moves
//! on servers before 2.14.6 when they are restarted, the stream is edited, and they are restarted again. So the messages
//! decide: the stream that has those that are remembered, or events of ours in their places, is the same. Of one that has
//! none of them the time is believed: made again it is younger than the last message of the one that it stands for; one that was
//! there before is another broker's, or came out of an old backup.

use chrono::{DateTime, TimeDelta, Utc};
use runtime::config::Misconfigured;
use schema::sequence::StreamSeq;

use super::watcher::{NEWEST, WatchError, Watcher};
use crate::publish::stream_now::StreamNow;
use crate::store::outbox_heal;
use crate::store::relay_stream::StreamRow;

/// So many of the newest events are searched for when no message is there that is remembered.
const EVENTS: u32 = 1_000;

impl Watcher {
    /// What is remembered, held to be of this stream if it is the same, whenever its broker says that it was made.
    pub(super) async fn recognise(&self, known: StreamRow, now: &StreamNow) -> Result<StreamRow, WatchError> {
        check_name(&known, &now.name)?;
        if known.created_at.is_none() || known.created_at == now.created_at {
            return Ok(known);
        }
        if self.is_same(&known, now).await? {
            let (before, created_at) = (known.created_at, now.created_at);
            tracing::info!(
                ?before,
                ?created_at,
                "the broker says another time at which the stream was made; its messages are the same"
            );
            return Ok(StreamRow { created_at, ..known });
        }
        check(&known, now)?;
        Ok(known)
    }

    async fn is_same(&self, known: &StreamRow, now: &StreamNow) -> Result<bool, WatchError> {
        let remembered = [(known.last_seq, known.last_stored_at), (known.proven_seq, known.proven_stored_at)];
        for (seq, stored_at) in
            remembered.into_iter().filter(|(seq, stored_at)| *seq > StreamSeq::ZERO && stored_at.is_some())
        {
            if self.publisher.stored_at(seq).await?.is_some_and(|message| message.stored_at == stored_at) {
                return Ok(true);
            }
        }
        let Some(first) = outbox_heal::window_start(&self.pool, NEWEST, EVENTS).await? else { return Ok(false) };
        let events =
            outbox_heal::window(&self.pool, (first, NEWEST), StreamSeq::ZERO, std::time::Duration::ZERO).await?;
        let places = events.iter().filter(|event| (now.first_seq..=now.last_seq).contains(&event.stream_seq));
        let places: Vec<_> = places.map(super::compare::place).collect();
        let looked_for = places.len();
        Ok(self.publisher.misplaced(places).await?.len() < looked_for)
    }
}

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

/// Refuses a stream without a message that is remembered if it was not made in the place of the one that is.
fn check(known: &StreamRow, now: &StreamNow) -> Result<(), Misconfigured> {
    let (Some(before), Some(created_at)) = (known.created_at, now.created_at) else { return Ok(()) };
    let last: DateTime<Utc> = known.last_stored_at.unwrap_or(before);
    // A creation time may have moved on; a message that is there has not.
    let created_at = now.first_stored_at.map_or(created_at, |first| first.min(created_at));
    if created_at + SKEW_MAX >= last {
        return Ok(());
    }
    Err(refusal(&format!(
        "the stream {} at NATS_URL was there at {created_at}, before the one that this outbox is published to took its last \
         message at {last}: it is another broker's, or an old backup",
        now.name
    )))
}

fn refusal(what: &str) -> Misconfigured {
    Misconfigured(format!(
        "{what}; fix the setting, or, if the change is meant, stop all relays and run `outbox-relay stream forget --reason \
         TEXT`: what the outbox still has is then published to the stream of the settings"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::stream_now::Policy;

    fn moment(minutes: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_secs(minutes * 60)
    }

    fn now(created: i64) -> StreamNow {
        StreamNow {
            name: "ORDERS".to_owned(),
            created_at: moment(created),
            server: String::new(),
            is_replicated: false,
            first_seq: StreamSeq::ZERO,
            first_stored_at: None,
            last_seq: StreamSeq::ZERO,
            last_stored_at: None,
            deleted: 0,
            policy: Policy::default(),
        }
    }

    fn accepts(now: &StreamNow, last_stored_at: Option<DateTime<Utc>>) -> bool {
        let known = StreamRow { created_at: moment(100), last_stored_at, ..StreamRow::default() };
        check(&known, now).is_ok()
    }

    #[test]
    fn of_streams_without_our_messages_one_that_was_made_later_is_accepted_and_no_other() {
        assert!(accepts(&now(201), moment(200)));
        assert!(accepts(&now(199), moment(200)), "clocks differ");
        assert!(!accepts(&now(198), moment(200)));
        assert!(!accepts(&now(98), None));
        assert!(accepts(&now(101), None));
        let theirs = StreamNow { first_stored_at: moment(150), ..now(300) };
        assert!(!accepts(&theirs, moment(200)), "it had messages before ours");
        let known = StreamRow { stream: Some("ORDERS".to_owned()), ..StreamRow::default() };
        assert!(check_name(&known, "ORDERS").is_ok());
        assert!(check_name(&known, "OTHERS").is_err());
    }
}
