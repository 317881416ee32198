//! What the stream's limits drop before its consumers had it.
//!
//! Published again it would be dropped again, so such a loss is reported and not healed while the limit stands: in the log, in
//! `relay_stream`, `status` and a metric. Nothing more is proven from then on, so the outbox keeps all that may be lost, and
//! when the limit is changed, which is a sign ([`super::Sign::Limits`]), it is published again. Under limits that may drop a
//! message at any time, nothing is proven at all before every durable consumer has acknowledged it; a limit by age alone is
//! checked when it drops something.

use std::time::{Duration, Instant};

use schema::sequence::StreamSeq;

use super::sign::Sign;
use super::watcher::{NEWEST, Watch, WatchError, Watcher};
use crate::publish::stream_now::StreamNow;
use crate::store::outbox_heal;
use crate::store::relay_stream::StreamRow;

/// So many of the newest events are read in streams that drop messages in their middle.
const NEWEST_EVENTS: u32 = 5_000;
/// And so many of them, spread evenly, are searched for.
const SAMPLE: usize = 500;
/// A server that does not say how far the consumers have come, for want of a right, is not asked again for so long.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(300);

impl Watcher {
    /// Takes from what was seen what is not proven because of limits; whether proof went on.
    pub(super) async fn heed_unread(
        &self,
        watch: &mut Watch,
        (known, now): (&StreamRow, &StreamNow),
        sign: Option<Sign>,
        seen: &mut StreamRow,
    ) -> Result<bool, WatchError> {
        let drops_any_time = now.policy.drops_unread();
        let was_dropped = if sign == Some(Sign::Limits) { 0 } else { known.unread_dropped };
        let has_dropped = now.first_seq > known.first_seq && !now.policy.consumes && !now.policy.limits.is_empty();
        seen.unread_dropped = was_dropped;
        if was_dropped > 0 && !drops_any_time {
            // Another sign came first: that the limits were changed is to be seen at the next check, too.
            seen.limits.clone_from(&known.limits);
        }
        let mut proven_seq = seen.proven_seq;
        if drops_any_time || has_dropped {
            let Some(answer) = self.read_by_all(watch, now).await else {
                // Not known: what was proven stays, and nothing more is.
                return self.limit_proof(seen, proven_seq.min(known.proven_seq)).await.map(|()| !drops_any_time);
            };
            if let Some(read) = answer {
                let dropped = self.dropped_above(read, now).await?;
                if dropped > was_dropped {
                    tracing::error!(
                        limits = now.policy.limits,
                        messages = dropped,
                        consumers_read_up_to = read.0,
                        "the stream's limits dropped messages before every consumer had them"
                    );
                }
                seen.unread_dropped = was_dropped.max(dropped);
                if drops_any_time || dropped > 0 {
                    proven_seq = proven_seq.min(read);
                }
            }
        }
        if seen.unread_dropped > 0 {
            proven_seq = proven_seq.min(known.proven_seq);
        }
        self.limit_proof(seen, proven_seq).await?;
        Ok(seen.unread_dropped == 0)
    }

    /// Up to where all durable consumers have read; none if that was not answered, and none within if there are none.
    async fn read_by_all(&self, watch: &mut Watch, now: &StreamNow) -> Option<Option<StreamSeq>> {
        if watch.unanswered_at.is_some_and(|at| at.elapsed() < ASK_AGAIN_AFTER) {
            return None;
        }
        match self.publisher.read_up_to(now.last_seq).await {
            Ok(read) => Some(read),
            Err(outage) => {
                tracing::warn!(
                    reason = outage.0,
                    "can't see whether the stream's limits drop what consumers have not read"
                );
                watch.unanswered_at = Some(Instant::now());
                None
            }
        }
    }

    /// About how many messages above a sequence are gone.
    async fn dropped_above(&self, read: StreamSeq, now: &StreamNow) -> Result<u64, WatchError> {
        let before = now.first_seq.distance_from(read.next());
        if !now.policy.drops_inside {
            return Ok(before);
        }
        let Some(first) = outbox_heal::window_start(&self.pool, NEWEST, NEWEST_EVENTS).await? else {
            return Ok(before);
        };
        let above = read.max(now.first_seq.previous());
        let unread = outbox_heal::window(&self.pool, (first, NEWEST), above, Duration::ZERO).await?;
        let step = unread.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<_> = unread.iter().step_by(step).filter(|row| row.stream_seq <= now.last_seq).collect();
        let gone = self.publisher.misplaced(sample.into_iter().map(super::compare::place).collect()).await?;
        Ok(before + (gone.len() * step) as u64)
    }

    async fn limit_proof(&self, seen: &mut StreamRow, proven_seq: StreamSeq) -> Result<(), WatchError> {
        if proven_seq < seen.proven_seq {
            seen.proven_seq = proven_seq;
            seen.proven_stored_at = match proven_seq {
                StreamSeq::ZERO => None,
                proven => self.publisher.stored_at(proven).await?.and_then(|message| message.stored_at),
            };
        }
        Ok(())
    }
}
