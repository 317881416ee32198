//! The loss detector: notices that the broker lost what it acknowledged, has it published again, and says up to where the
//! stream is proven.
//!
//! A PubAck means the broker's page cache. So every few seconds, between two batches and after each reconnect, one answer of
//! the stream's leader is held against what the relay remembers in `relay_stream` ([`sign`]). A sign of a loss has the
//! outbox compared with the stream ([`check`]), while nothing is published: what is lost is back in its place, in the order
//! of `seq`, before anything younger follows. A comparison that finds nothing costs time and changes nothing.
//!
//! Proof goes by the stream's own numbers and not by its messages one by one: its end is marked at each look, and when the
//! fsync horizon has passed without a sign, everything up to the mark is proven, because a stream is one log: it was not
//! made anew, its end was not below what we knew, the message at each mark stayed the same, nothing within went missing and
//! no number was given out twice. That costs one row and no work for an event. Marks are kept in memory: the horizon starts
//! over with each tenure, each outage and each sign. A takeover right after a restart of broker and relay at once does not
//! see the loss of an event that is far older than the newest ones and was published in the seconds before.

mod check;
mod metrics;
mod other;
mod sign;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use runtime::config::Misconfigured;
use runtime::mysql::Pool;
use runtime::telemetry::chain;

use crate::lease::Tenure;
use crate::publisher::look::StreamNow;
use crate::publisher::{Outage, Publisher};
use crate::store::outbox;
use crate::store::relay_stream::{self, StreamRow};

use check::History;
pub use metrics::LossMetrics;
pub use sign::Sign;

/// Above every `seq` of the outbox.
const NEWEST: u64 = u64::MAX;
/// How many times as long as a piece of the history took to compare, publishing goes on before the next one.
const HISTORY_REST: u32 = 9;

/// Looks at the stream, in the active relay.
#[derive(Clone, Debug)]
pub struct Watcher {
    pub pool: Pool,
    pub publisher: Publisher,
    pub acks: Acks,
    pub metrics: LossMetrics,
    /// How often to look.
    pub interval: Duration,
    /// How long a message must have stood in the stream to be proven.
    pub horizon: Duration,
}

/// What was seen since the relay attached itself to the stream.
#[derive(Debug, Default)]
pub struct Watch {
    due_at: Option<Instant>,
    connects: u64,
    /// Ends of the stream, oldest first.
    marks: VecDeque<Mark>,
}

#[derive(Debug)]
struct Mark {
    seq: u64,
    stored_at: Option<DateTime<Utc>>,
    marked_at: Instant,
}

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error(transparent)]
    Outage(#[from] Outage),
    #[error("watching the stream")]
    Database(#[from] sqlx::Error),
    #[error("another relay holds the lease")]
    LeaseLost,
    #[error("this relay is to stop, or its lease ran out")]
    Over,
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
}

/// The stream's sequences in the PubAcks that were settled; a clone is the same.
///
/// One sequence of a batch is noted, its last event's: a stream that lost fewer messages than the next batch has is not given
/// away by it. It need not be. What takes acknowledged messages from a stream is a new run of its server, or in a cluster the
/// loss of what a quorum had, and with both comes another server or leader, whose sign has the newest events compared. In a
/// cluster, too, no sequence is given out twice without a loss: a new leader has all that was acknowledged. What is left to
/// this one is a server that does not say since when it leads (before 2.12), if it lost and regained that between two looks.
#[derive(Clone, Debug, Default)]
pub struct Acks(Arc<AckedSoFar>);

#[derive(Debug, Default)]
struct AckedSoFar {
    highest: AtomicU64,
    is_repeated: AtomicBool,
}

impl Acks {
    /// Notes one sequence of a batch that was published after all batches noted before.
    pub fn note(&self, stream_seq: u64) {
        if stream_seq <= self.0.highest.fetch_max(stream_seq, Ordering::Relaxed) {
            self.0.is_repeated.store(true, Ordering::Relaxed);
        }
    }

    fn highest(&self) -> u64 {
        self.0.highest.load(Ordering::Relaxed)
    }

    /// Whether one was not above those before it.
    fn is_repeated(&self) -> bool {
        self.0.is_repeated.load(Ordering::Relaxed)
    }

    /// What was noted is dealt with, or of another tenure.
    pub fn forget(&self) {
        self.0.highest.store(0, Ordering::Relaxed);
        self.0.is_repeated.store(false, Ordering::Relaxed);
    }
}

impl Watcher {
    /// Whether it is time to look, or the broker may be another one.
    pub fn is_due(&self, watch: &Watch) -> bool {
        watch.due_at.is_none_or(|at| Instant::now() >= at) || self.publisher.connects() != watch.connects
    }

    /// Refuses a stream of another name than before, so that none is made. What can't be asked now is asked at each look.
    ///
    /// # Errors
    /// If there was another.
    pub async fn admit(pool: &Pool, stream: &str) -> Result<(), Misconfigured> {
        match relay_stream::look(pool).await {
            Ok(known) => other::check_name(&known, stream),
            Err(error) => {
                tracing::warn!(error = chain(&error), "can't see yet which stream was published to before");
                Ok(())
            }
        }
    }

    /// Looks once; nothing may be under way between publish and settle.
    ///
    /// # Errors
    /// See [`WatchError`]; the next look does what this one did not.
    pub async fn look(&self, tenure: &Tenure, watch: &mut Watch) -> Result<(), WatchError> {
        let begin = Instant::now();
        watch.connects = self.publisher.connects();
        let known = relay_stream::look(&self.pool).await?;
        // Before the stream is asked: a moment later it can't end below.
        let settled = outbox::highest_stream_seq(&self.pool).await?.unwrap_or(0).max(self.acks.highest());
        let now = self.publisher.look().await?;
        other::check(&known, &now)?;
        let sign = self.sign(&known, &now, settled).await?;
        let (sign, history) = self.history(tenure, &known, &now, sign).await?;
        if sign.is_some() || history.is_some() {
            watch.marks.clear();
        }
        let (mut seen, proven_for) = match sign {
            Some(sign) => {
                let last = history.filter(|_| sign == Sign::History).unwrap_or(NEWEST);
                (check::Check { watcher: self, tenure, sign, last }.run(&known, now).await?, None)
            }
            None if history.is_some() => (seen(&now, (known.proven_seq, known.proven_stored_at)), None),
            None => self.prove(watch, &known, &now),
        };
        if sign.is_some() {
            self.acks.forget();
        }
        seen.history_seq = history.filter(|_| sign.is_none());
        if !relay_stream::remember(&self.pool, &tenure.token, &seen, proven_for).await? {
            return Err(WatchError::LeaseLost);
        }
        let pause = if seen.history_seq.is_some() { begin.elapsed() * HISTORY_REST } else { self.interval };
        watch.due_at = Some(Instant::now() + pause.min(self.interval));
        Ok(())
    }

    /// What was published before any relay looked, compared a piece further: the sign if something is missing, and up to
    /// where it is still to be compared. What a weak sign puts in doubt is a part of it, so that begins anew.
    async fn history(
        &self,
        tenure: &Tenure,
        known: &StreamRow,
        now: &StreamNow,
        sign: Option<Sign>,
    ) -> Result<(Option<Sign>, Option<u64>), WatchError> {
        let is_first = known.created_at.is_none();
        let Some(last) = known.history_seq.or(is_first.then_some(NEWEST)) else { return Ok((sign, None)) };
        let last = match sign {
            None => last,
            Some(sign) if sign.is_weak() => {
                self.acks.forget();
                NEWEST
            }
            Some(_) => return Ok((sign, Some(last))),
        };
        Ok(match self.compare_history(tenure, now, last).await? {
            History::Whole => {
                tracing::info!("the stream has all that was published before the first look");
                (None, None)
            }
            History::UpTo(next) => {
                if last == NEWEST {
                    tracing::info!("comparing what was published before the first look with the stream, bit by bit");
                }
                (None, Some(next))
            }
            History::Lost => (Some(Sign::History), Some(last)),
        })
    }

    /// The strongest sign that the stream lost something.
    async fn sign(&self, known: &StreamRow, now: &StreamNow, settled: u64) -> Result<Option<Sign>, Outage> {
        let mut mark_at = now.last_stored_at;
        if now.last_seq > known.last_seq && known.last_stored_at.is_some() && known.last_seq >= now.first_seq {
            mark_at = self.publisher.stored_at(known.last_seq).await?.and_then(|message| message.stored_at);
        }
        let is_rewritten = known.last_seq <= now.last_seq
            && known.last_stored_at.zip(mark_at).is_some_and(|(known, now)| known != now)
            && known.last_seq >= now.first_seq;
        let found = sign::find(known, now, settled, is_rewritten, self.horizon);
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

/// Up to which sequence the stream is proven, and when its message was stored.
type Proven = (u64, Option<DateTime<Utc>>);

/// What is to be remembered of a look.
fn seen(now: &StreamNow, (proven_seq, proven_stored_at): Proven) -> StreamRow {
    StreamRow {
        stream: Some(now.name.clone()),
        created_at: now.created_at,
        server: now.server.clone(),
        first_seq: now.first_seq,
        last_seq: now.last_seq,
        last_stored_at: now.last_stored_at,
        deleted: now.deleted,
        proven_seq,
        proven_stored_at,
        ..StreamRow::default()
    }
}
