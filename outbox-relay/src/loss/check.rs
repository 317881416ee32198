//! The deep check: compares published events with the stream, by sequence and dedup id, and makes pending what it lost.
//!
//! What is proven is not compared, unless the stream shows that the proof does not hold: it is another one, or ends below
//! and took messages since, or has another message there. So a person may delete old messages, or purge the stream, and
//! what was proven stays published; messages that are not proven come back. In a stream that was made anew nothing is
//! proven: it gets all that the outbox still has, but for events that the old one had let go by its age limit.
//!
//! Before the first look of all, nothing is remembered that a sign could be held against. What was published until then is
//! compared once, a piece at a look, newest first, and publishing goes on in between; what is missing there is a sign like
//! any other, and has the rest compared at once.
//!
//! First a look whether anything is missing at all; if so, again after a pause, because a server that has just become the
//! leader may be behind for a moment. What is missing then is made pending, newest first; nothing is published before all
//! of it is, so the order of `seq` is kept. A crash in between leaves the suspicion in `relay_stream`, and the next relay
//! goes on.

use std::time::Duration;

use schema::ids::EventId;
use schema::names::OUTBOX_LEASE;

use super::{Proven, Sign, WatchError, Watcher, seen};
use crate::event::msg_id;
use crate::lease::Tenure;
use crate::publisher::compare::Place;
use crate::publisher::look::StreamNow;
use crate::store::lease;
use crate::store::outbox_heal::{self, PublishedRow};
use crate::store::relay_stream::{self, StreamRow};

/// Rows compared at once.
const WINDOW: u32 = 5_000;
/// Rows changed at once.
const BATCH: usize = 1_000;
/// After this a loss has to be there still.
const CONFIRM_AFTER: Duration = Duration::from_secs(2);
/// A message may have expired while its settle took this long.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// One deep check.
pub(super) struct Check<'a> {
    pub(super) watcher: &'a Watcher,
    pub(super) tenure: &'a Tenure,
    pub(super) sign: Sign,
    /// What was published after this was compared already.
    pub(super) last: u64,
}

/// Windows of the history compared at once.
const PIECE: usize = 4;

/// What a piece of the history showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// It is in the stream, as was what came after it; compare what was published up to here next.
    UpTo(u64),
    /// All of it is in the stream.
    Whole,
    /// Something is missing.
    Lost,
}

/// How a walk over the published events goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// From the newest on, until everything in a window is proven, or something is lost.
    Newest,
    /// Until something is lost.
    Look,
    /// To the end, healing what is lost.
    Heal,
}

/// Events of a window that are not in the stream.
#[derive(Debug, Default)]
struct Missing {
    lost: Vec<u64>,
    /// Gone by the stream's policy, from a place that this stream never had.
    displaced: Vec<u64>,
}

impl Check<'_> {
    /// Compares, heals, and says what is to be remembered.
    pub(super) async fn run(&self, known: &StreamRow, now: StreamNow) -> Result<StreamRow, WatchError> {
        let sign = self.sign.as_str();
        let proven = self.still_proven(known, &now).await?;
        tracing::info!(sign, why = self.sign.describe(), proven = proven.0, "comparing the outbox with the stream");
        self.watcher.metrics.checked(self.sign);
        if !relay_stream::suspect(&self.watcher.pool, &self.tenure.token, sign, proven).await? {
            return Err(WatchError::LeaseLost);
        }
        let scope = if self.sign.is_weak() { Walk::Newest } else { Walk::Look };
        if self.walk(scope, &now, proven.0).await? == 0 {
            tracing::info!(sign, "the stream has lost nothing");
            return Ok(seen(&now, proven));
        }
        tokio::select! {
            () = self.tenure.over.cancelled() => return Err(WatchError::Over),
            () = tokio::time::sleep(CONFIRM_AFTER) => {}
        }
        let now = self.watcher.publisher.look().await?;
        let proven = self.still_proven(known, &now).await?;
        let healed = self.walk(Walk::Heal, &now, proven.0).await?;
        if healed > 0 {
            let why = self.sign.describe();
            tracing::error!(
                sign,
                why,
                events = healed,
                "the broker lost events that it had acknowledged; publishing them again"
            );
            self.watcher.metrics.healed(self.sign, healed);
            if !relay_stream::record_loss(&self.watcher.pool, &self.tenure.token, sign, healed).await? {
                return Err(WatchError::LeaseLost);
            }
        }
        Ok(seen(&now, proven))
    }

    /// Up to where what was proven still is: there, or nowhere.
    async fn still_proven(&self, known: &StreamRow, now: &StreamNow) -> Result<Proven, WatchError> {
        let nothing = (0, None);
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
            0 => None,
            proven => self.watcher.publisher.stored_at(proven).await?,
        };
        let is_other = message.is_some_and(|message| message.stored_at != known.proven_stored_at);
        Ok(if is_other { nothing } else { (known.proven_seq, known.proven_stored_at) })
    }

    /// How many events are lost, as far as it went; but for [`Walk::Heal`] at the first that are lost or displaced, with those.
    async fn walk(&self, walk: Walk, now: &StreamNow, proven: u64) -> Result<u64, WatchError> {
        let pool = &self.watcher.pool;
        let (mut last, mut lost) = (self.last, 0);
        while let Some(doubtful) = self.watcher.window(self.tenure, &mut last, now, proven).await? {
            if doubtful.is_empty() && walk == Walk::Newest {
                return Ok(lost);
            }
            let missing = self.watcher.missing(doubtful, now).await?;
            if walk != Walk::Heal {
                match missing.len() {
                    0 => continue,
                    found => return Ok(found as u64),
                }
            }
            lost += missing.lost.len() as u64;
            for seqs in missing.lost.chunks(BATCH) {
                self.check_changed(seqs, outbox_heal::heal(pool, &self.tenure.token, seqs).await?).await?;
            }
            for seqs in missing.displaced.chunks(BATCH) {
                self.check_changed(seqs, outbox_heal::displace(pool, &self.tenure.token, seqs).await?).await?;
            }
        }
        Ok(lost)
    }

    /// Fewer rows than planned were changed by somebody else: another relay, or a person.
    async fn check_changed(&self, planned: &[u64], changed: u64) -> Result<(), WatchError> {
        let planned = planned.len() as u64;
        if changed < planned {
            if !lease::is_held(&self.watcher.pool, OUTBOX_LEASE, &self.tenure.token).await? {
                return Err(WatchError::LeaseLost);
            }
            tracing::warn!(planned, changed, "some lost events had been changed by someone else");
        }
        Ok(())
    }
}

impl Watcher {
    /// Compares the next piece of what was published up to `last` and before any relay looked. Changes nothing.
    pub(super) async fn compare_history(
        &self,
        tenure: &Tenure,
        now: &StreamNow,
        mut last: u64,
    ) -> Result<History, WatchError> {
        for _ in 0..PIECE {
            let Some(doubtful) = self.window(tenure, &mut last, now, 0).await? else { return Ok(History::Whole) };
            if self.missing(doubtful, now).await?.len() > 0 {
                return Ok(History::Lost);
            }
        }
        Ok(History::UpTo(last))
    }

    /// The events of the next window that are not proven; none if there is no window left. Moves `last` below it.
    async fn window(
        &self,
        tenure: &Tenure,
        last: &mut u64,
        now: &StreamNow,
        proven: u64,
    ) -> Result<Option<Vec<PublishedRow>>, WatchError> {
        if !tenure.is_valid() {
            return Err(WatchError::Over);
        }
        let Some(first) = outbox_heal::window_start(&self.pool, *last, WINDOW).await? else { return Ok(None) };
        let max_age = now.policy.max_age;
        let kept = max_age.saturating_sub(SETTLE_MAX.min(max_age / 2));
        let doubtful = outbox_heal::window(&self.pool, (first, *last), proven, kept).await?;
        *last = first.saturating_sub(1);
        Ok(Some(doubtful))
    }

    /// What of this the stream does not have.
    async fn missing(&self, rows: Vec<PublishedRow>, now: &StreamNow) -> Result<Missing, WatchError> {
        let mut missing = Missing::default();
        let mut places = Vec::new();
        for row in rows {
            let is_before = row.stream_seq < now.first_seq;
            let is_after = row.stream_seq > now.last_seq;
            if row.is_expired || (is_before && now.policy.drops_oldest) {
                missing.displaced.extend(is_after.then_some(row.seq));
            } else if is_before || is_after {
                missing.lost.push(row.seq);
            } else {
                let msg_id = msg_id(EventId(row.event_id), row.is_tombstone, row.heal_epoch);
                places.push(Place { seq: row.seq, stream_seq: row.stream_seq, msg_id });
            }
        }
        let misplaced = self.publisher.misplaced(places).await?;
        let lost = misplaced.iter().filter(|event| event.is_replaced || !now.policy.drops_inside);
        missing.lost.extend(lost.map(|event| event.seq));
        // Sorted by key, so that two transactions over the same rows meet in the same order.
        missing.lost.sort_unstable();
        Ok(missing)
    }
}

impl Missing {
    fn len(&self) -> usize {
        self.lost.len() + self.displaced.len()
    }
}
