//! The loss detector: notices that the broker lost what it acknowledged, has it published again, and says up to where the
//! stream is proven.
//!
//! A PubAck means the broker's page cache. So every few seconds, between two batches and after each reconnect, one answer of
//! the stream's leader is held against what the relay remembers in `relay_stream` ([`sign`]). A sign of a loss has the
//! outbox compared with the stream ([`check`]), while nothing is published: what is lost is back in its place, in the order
//! of `seq`, before anything later follows. A comparison that finds nothing costs time and changes nothing.
//!
//! Its messages identify the stream ([`identity`]); a message that it stores shows that its leader leads ([`restore`]).
//!
//! Proof goes by the stream's own numbers and not by its messages one by one: its end is marked at each check, and when the
//! fsync horizon has passed without a sign, everything up to the mark is proven, because a stream is one log: it was not
//! made again, its end was not below what we knew, the message at each mark stayed the same, nothing within went missing and
//! no number was given out twice. That costs one row and no work for an event. Marks are kept in memory: the horizon starts
//! over with each tenure, each outage and each sign. A takeover right after a restart of broker and relay at once does not
//! see the loss of an event that is far older than the newest ones and was published in the seconds before. What a limit of
//! the stream may drop before its consumers had it is proven only when they had it ([`unread`]).

mod acks;
mod check;
mod compare;
mod history;
mod identity;
mod metrics;
mod restore;
mod sign;
mod unread;
mod watcher;

use std::time::{Duration, Instant};

use chrono::Utc;
use runtime::config::Misconfigured;
use runtime::mysql::Pool;
use runtime::telemetry::chain;
use schema::sequence::StreamSeq;

use crate::lease::Tenure;
use crate::publish::Outage;
use crate::publish::stream_now::StreamNow;
use crate::store::outbox;
use crate::store::relay_stream::{self, StreamRow};

use self::watcher::{Mark, NEWEST, seen};

pub use acks::Acks;
pub use metrics::LossMetrics;
pub use sign::Sign;
pub use watcher::{Watch, WatchError, Watcher};

/// How many times as long as a piece of the history took to compare, publishing goes on before the next one.
const HISTORY_REST: u32 = 9;

impl Watcher {
    /// Refuses a stream of another name than before, so that none is made. What can't be asked now is asked at each check.
    ///
    /// # Errors
    /// If there was another.
    pub async fn admit(pool: &Pool, stream: &str) -> Result<(), Misconfigured> {
        match relay_stream::read(pool).await {
            Ok(known) => identity::check_name(&known, stream),
            Err(error) => {
                tracing::warn!(error = chain(&error), "can't see yet which stream was published to before");
                Ok(())
            }
        }
    }

    /// Checks once; nothing may be under way between publish and settle.
    ///
    /// # Errors
    /// See [`WatchError`]; the next check does what this one did not.
    pub async fn check(&self, tenure: &Tenure, watch: &mut Watch) -> Result<(), WatchError> {
        let begin = Instant::now();
        watch.connects = self.publisher.connects();
        let known = relay_stream::read(&self.pool).await?;
        // Before the stream is asked: a moment later it can't end below.
        let settled = outbox::highest_stream_seq(&self.pool).await?.unwrap_or_default().max(self.acks.highest());
        let now = self.publisher.stream_now().await?;
        let known = self.recognise(known, &now).await?;
        let sign = self.sign(&known, &now, settled).await?;
        let (sign, history) = self.history(tenure, &known, &now, sign).await?;
        if sign.is_some() || history.is_some() {
            watch.marks.clear();
        }
        let mut healed = 0;
        let (mut seen, proven_for) = match sign {
            Some(sign) => {
                let last = history.filter(|_| sign == Sign::History).unwrap_or(NEWEST);
                let check = check::Check { watcher: self, tenure, sign, last };
                let (seen, lost) = check.run(&known, now.clone()).await?;
                healed = lost;
                (seen, None)
            }
            None if history.is_some() => (seen(&now, (known.proven_seq, known.proven_stored_at)), None),
            None => self.prove(watch, &known, &now),
        };
        if sign.is_some() {
            self.acks.forget();
        }
        seen.history_seq = history::next(sign, history, seen.proven_seq);
        let is_read = self.heed_unread(watch, (&known, &now), sign, &mut seen).await?;
        if !relay_stream::remember(&self.pool, &tenure.token, &seen, proven_for.filter(|_| is_read)).await? {
            return Err(WatchError::LeaseLost);
        }
        if let Some(sign) = sign.filter(|_| healed > 0) {
            relay_stream::record_loss(&self.pool, &tenure.token, sign.as_str(), healed).await?;
        }
        let pause = if seen.history_seq.is_some() { begin.elapsed() * HISTORY_REST } else { self.interval };
        watch.due_at = Some(Instant::now() + pause.min(self.interval));
        Ok(())
    }

    /// The strongest sign that the stream lost something.
    async fn sign(&self, known: &StreamRow, now: &StreamNow, settled: StreamSeq) -> Result<Option<Sign>, Outage> {
        let mut mark_at = now.last_stored_at;
        if now.last_seq > known.last_seq && known.last_stored_at.is_some() && known.last_seq >= now.first_seq {
            mark_at = self.publisher.stored_at(known.last_seq).await?.and_then(|message| message.stored_at);
        }
        let is_rewritten = known.last_seq <= now.last_seq
            && known.last_stored_at.zip(mark_at).is_some_and(|(known, now)| known != now)
            && known.last_seq >= now.first_seq;
        let found = sign::find(known, now, settled, is_rewritten, Utc::now());
        Ok(found.or(self.acks.is_repeated().then_some(Sign::PubAck)))
    }

    /// What is to be remembered, and how long ago the stream held what is proven now.
    fn prove(&self, watch: &mut Watch, known: &StreamRow, now: &StreamNow) -> (StreamRow, Option<Duration>) {
        let mut seen = seen(now, (known.proven_seq, known.proven_stored_at));
        let mut proven_for = None;
        watch.marks.push_back(Mark { seq: now.last_seq, stored_at: now.last_stored_at, marked_at: Instant::now() });
        while let Some(mark) = watch.marks.pop_front_if(|mark| mark.marked_at.elapsed() >= self.horizon) {
            proven_for = Some(mark.marked_at.elapsed());
            if mark.seq > seen.proven_seq {
                (seen.proven_seq, seen.proven_stored_at) = (mark.seq, mark.stored_at);
            }
        }
        (seen, proven_for)
    }
}
