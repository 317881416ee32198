//! The deep check: compares published events with the stream, by sequence and dedup id, and has healed what it lost.
//!
//! What is proven is not compared at once, unless the stream shows that the proof does not hold: it is another one, or ends below
//! and took messages since, or has another message there. In a stream that was made again nothing is proven: it gets all that
//! the outbox still has, but for events that the old one had let go by its age limit. Whether what was proven is still there
//! when messages went missing is compared while publishing goes on ([`super::history`]).
//!
//! First a check whether anything is missing at all; if so, again after a pause, because a server that has just become the
//! leader may be behind for a moment. What is missing then is healed ([`super::restore`]); nothing else is published before all of it
//! is pending, so the order of `seq` is kept. A crash in between leaves the suspicion in `relay_stream`, and the next relay
//! goes on.

use std::time::Duration;

use schema::names::OUTBOX_LEASE;
use schema::sequence::{Seq, StreamSeq};

use super::sign::Sign;
use super::watcher::{Proven, WatchError, Watcher, seen};
use crate::lease::Tenure;
use crate::publish::stream_now::StreamNow;
use crate::store::lease;
use crate::store::relay_stream::{self, StreamRow};

/// After this a loss has to be there still.
const CONFIRM_AFTER: Duration = Duration::from_secs(2);

/// One deep check.
pub(super) struct Check<'a> {
    pub(super) watcher: &'a Watcher,
    pub(super) tenure: &'a Tenure,
    pub(super) sign: Sign,
    /// What was published after this was compared already.
    pub(super) last: Seq,
}

impl Check<'_> {
    /// Compares, heals, and says what is to be remembered and how many events were lost.
    pub(super) async fn run(&self, known: &StreamRow, now: StreamNow) -> Result<(StreamRow, u64), WatchError> {
        let sign = self.sign.as_str();
        let proven = self.still_proven(known, &now).await?;
        tracing::info!(sign, why = self.sign.describe(), proven = proven.0.0, "comparing the outbox with the stream");
        self.watcher.metrics.checked(self.sign);
        if !relay_stream::suspect(&self.watcher.pool, &self.tenure.token, sign, proven).await? {
            return Err(WatchError::LeaseLost);
        }
        if !self.misses_anything(&now, self.compared_above(proven)).await? {
            tracing::info!(sign, "the stream has lost nothing");
            return Ok((seen(&now, proven), 0));
        }
        tokio::select! {
            () = self.tenure.over.cancelled() => return Err(WatchError::Over),
            () = tokio::time::sleep(CONFIRM_AFTER) => {}
        }
        let connects = self.watcher.publisher.connects();
        let now = self.watcher.publisher.stream_now().await?;
        let proven = self.still_proven(known, &now).await?;
        let healed = self.heal(&now, self.compared_above(proven), connects).await?;
        if healed > 0 {
            let why = self.sign.describe();
            tracing::error!(
                sign,
                why,
                events = healed,
                "the broker lost events that it had acknowledged; publishing them again"
            );
            self.watcher.metrics.healed(self.sign, healed);
        }
        Ok((seen(&now, proven), healed))
    }

    /// Events in places up to this one are not compared.
    fn compared_above(&self, (proven_seq, _): Proven) -> StreamSeq {
        if self.sign == Sign::History { StreamSeq::ZERO } else { proven_seq }
    }

    /// Up to where what was proven still is: there, or nowhere.
    async fn still_proven(&self, known: &StreamRow, now: &StreamNow) -> Result<Proven, WatchError> {
        let nothing = (StreamSeq::ZERO, None);
        if known.created_at != now.created_at {
            return Ok(nothing);
        }
        if now.last_seq < known.proven_seq {
            // A stream goes by time: if its end is older than what was proven, it took nothing since it was cut off there.
            let is_cut = now.last_stored_at.is_some() && now.last_stored_at <= known.proven_stored_at;
            let is_whole = now.deleted <= known.deleted;
            return Ok(if is_cut && is_whole { (now.last_seq, now.last_stored_at) } else { nothing });
        }
        let message = match known.proven_seq {
            StreamSeq::ZERO => None,
            proven => self.watcher.publisher.stored_at(proven).await?,
        };
        let is_other = message.is_some_and(|message| message.stored_at != known.proven_stored_at);
        Ok(if is_other { nothing } else { (known.proven_seq, known.proven_stored_at) })
    }

    /// Whether anything is missing, newest first; after a weak sign only until a window has nothing to compare.
    async fn misses_anything(&self, now: &StreamNow, proven: StreamSeq) -> Result<bool, WatchError> {
        let mut last = self.last;
        while let Some(doubtful) = self.watcher.window(self.tenure, &mut last, now, proven).await? {
            if doubtful.is_empty() && self.sign.is_weak() {
                return Ok(false);
            }
            if !self.watcher.missing(doubtful, now).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Fewer rows than planned were changed by somebody else: another relay, or a person.
    pub(super) async fn check_changed(&self, planned: usize, changed: u64) -> Result<(), WatchError> {
        let planned = planned as u64;
        if changed < planned {
            if !lease::is_held(&self.watcher.pool, OUTBOX_LEASE, &self.tenure.token).await? {
                return Err(WatchError::LeaseLost);
            }
            tracing::warn!(planned, changed, "some lost events had been changed by someone else");
        }
        Ok(())
    }
}
