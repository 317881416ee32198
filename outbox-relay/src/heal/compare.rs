//! Holds windows of published events against the stream, and says what it does not have.

use std::collections::HashSet;
use std::time::Duration;

use schema::ids::EventId;
use schema::sequence::{Seq, StreamSeq};

use super::watcher::{WatchError, Watcher};
use crate::event::msg_id;
use crate::lease::Tenure;
use crate::publish::compare::Place;
use crate::publish::stream_now::StreamNow;
use crate::store::outbox_heal::{self, Lost, PublishedRow};

/// Rows compared at once.
pub(super) const WINDOW: u32 = 5_000;
/// A message may have expired while its settle took this long.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// Events of a window that are not in the stream, sorted by key, so that two transactions over the same rows meet in the same
/// order.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pub(super) lost: Vec<Lost>,
    /// Gone by the stream's policy, from a place that this stream never had.
    pub(super) displaced: Vec<Lost>,
}

impl Missing {
    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.displaced.is_empty()
    }
}

/// What stands where the event was acknowledged, if nothing is lost.
pub(super) fn place(row: &PublishedRow) -> Place {
    let msg_id = msg_id(EventId(row.event_id), row.is_tombstone, row.heal_epoch);
    Place { seq: row.seq, stream_seq: row.stream_seq, msg_id }
}

impl Watcher {
    /// The events of the next window, the newest up to `last`, that are not proven; none if there is no window left. Moves `last`
    /// below it.
    pub(super) async fn window(
        &self,
        tenure: &Tenure,
        last: &mut Seq,
        now: &StreamNow,
        proven: StreamSeq,
    ) -> Result<Option<Vec<PublishedRow>>, WatchError> {
        check_valid(tenure)?;
        let Some(first) = outbox_heal::window_start(&self.pool, *last, WINDOW).await? else { return Ok(None) };
        let doubtful = outbox_heal::window(&self.pool, (first, *last), proven, kept(now)).await?;
        *last = first.previous();
        Ok(Some(doubtful))
    }

    /// As [`Watcher::window`], the oldest from `first` on. Moves `first` above it.
    pub(super) async fn oldest_window(
        &self,
        tenure: &Tenure,
        first: &mut Seq,
        now: &StreamNow,
        proven: StreamSeq,
    ) -> Result<Option<Vec<PublishedRow>>, WatchError> {
        check_valid(tenure)?;
        let Some(last) = outbox_heal::window_end(&self.pool, *first, WINDOW).await? else { return Ok(None) };
        let doubtful = outbox_heal::window(&self.pool, (*first, last), proven, kept(now)).await?;
        *first = last.next();
        Ok(Some(doubtful))
    }

    /// What of this the stream does not have.
    pub(super) async fn missing(&self, rows: Vec<PublishedRow>, now: &StreamNow) -> Result<Missing, WatchError> {
        let mut missing = Missing::default();
        let mut there = Vec::new();
        for row in rows {
            let is_before = row.stream_seq < now.first_seq;
            let is_after = row.stream_seq > now.last_seq;
            if row.is_expired || (is_before && (now.policy.drops_oldest || now.policy.drops_inside)) {
                missing.displaced.extend(is_after.then(|| row.lost()));
            } else if is_before || is_after {
                missing.lost.push(row.lost());
            } else {
                there.push(row);
            }
        }
        let misplaced = self.publisher.misplaced(there.iter().map(place).collect()).await?;
        let lost = misplaced.iter().filter(|event| event.is_replaced || !now.policy.drops_inside);
        let lost: HashSet<Seq> = lost.map(|event| event.seq).collect();
        missing.lost.extend(there.iter().filter(|row| lost.contains(&row.seq)).map(PublishedRow::lost));
        missing.lost.sort_unstable();
        missing.displaced.sort_unstable();
        Ok(missing)
    }
}

fn check_valid(tenure: &Tenure) -> Result<(), WatchError> {
    if tenure.is_valid() { Ok(()) } else { Err(WatchError::Over) }
}

/// How long the stream surely keeps a message; zero for ever.
fn kept(now: &StreamNow) -> Duration {
    let max_age = now.policy.max_age;
    max_age.saturating_sub(SETTLE_MAX.min(max_age / 2))
}
