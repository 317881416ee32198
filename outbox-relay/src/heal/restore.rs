//! Heals what the stream lost, once its leader has proved that it leads.
//!
//! The oldest lost event is published again at once, fenced by the end that the leader claims ([`crate::publish::probe`]). If
//! that is stored, the leader has all that was acknowledged before, so the others are lost, too: they are made pending, newest
//! first, and the drain publishes them in order behind it. If it is not stored, nothing is changed: it is an outage, and whoever
//! leads is asked again (`a_leader_that_is_cut_off_from_the_others_proves_no_loss`).
//!
//! A relay that dies between the PubAck and its settle leaves a message that the next one finds by its dedup id, by its place at
//! the end of the stream or by the broker's word.

use std::collections::HashSet;

use schema::sequence::{Seq, StreamSeq};

use super::check::Check;
use super::watcher::{WatchError, Watcher};
use crate::event::{Aggregate, Event};
use crate::heal_epoch::HealEpoch;
use crate::publish::Outage;
use crate::publish::probe::Probe;
use crate::publish::stream_now::StreamNow;
use crate::store::outbox_earlier::earlier;
use crate::store::outbox_heal::{self, Lost};

/// Rows changed at once.
const BATCH: usize = 1_000;
/// Others may publish, too, and be quicker so many times.
const TRIES_MAX: u32 = 50;

/// What a lost event that was published again shows.
enum Shown {
    /// The leader leads.
    Leads,
    /// It had been published again before.
    Nothing,
    /// It is not the turn of this one: the broker does not take it, or an earlier event of its aggregate is not in the stream.
    Unfit(Aggregate),
}

impl Check<'_> {
    /// How many events were lost and are in the stream again, or pending.
    pub(super) async fn heal(&self, now: &StreamNow, proven: StreamSeq, connects: u64) -> Result<u64, WatchError> {
        let (mut first, mut healed, mut unfit, mut stopped) = (Seq::ZERO, 0, Vec::new(), HashSet::new());
        while let Some(doubtful) = self.watcher.oldest_window(self.tenure, &mut first, now, proven).await? {
            let doubtful = doubtful.into_iter().filter(|row| row.seq <= self.last).collect();
            let missing = self.watcher.missing(doubtful, now).await?;
            self.displace(&missing.displaced).await?;
            for lost in missing.lost {
                match self.publish_again(lost, &stopped).await? {
                    Shown::Leads => {
                        self.make_pending(&unfit).await?;
                        let others = self.heal_above(lost.seq, now, proven, connects).await?;
                        return Ok(healed + 1 + unfit.len() as u64 + others);
                    }
                    Shown::Nothing => healed += 1,
                    Shown::Unfit(aggregate) => {
                        stopped.insert(aggregate);
                        unfit.push(lost);
                    }
                }
            }
        }
        if now.is_replicated && !unfit.is_empty() {
            // Nobody but a leader that leads may be believed, and nothing showed that this one does: each check asks again.
            tracing::warn!(
                events = unfit.len(),
                "events that the broker does not take now may be lost: they stay as they are"
            );
            return Ok(healed);
        }
        self.make_pending(&unfit).await?;
        Ok(healed + unfit.len() as u64)
    }

    /// Heals the lost events above a `seq`, newest first, and takes the place from those that the stream let go.
    async fn heal_above(&self, seq: Seq, now: &StreamNow, proven: StreamSeq, connects: u64) -> Result<u64, WatchError> {
        let (mut last, mut healed) = (self.last, 0);
        while last > seq {
            let Some(doubtful) = self.watcher.window(self.tenure, &mut last, now, proven).await? else { break };
            let doubtful = doubtful.into_iter().filter(|row| row.seq > seq).collect();
            let missing = self.watcher.missing(doubtful, now).await?;
            if self.watcher.publisher.connects() != connects {
                return Err(Outage(
                    "the connection to NATS is another one; who leads is to be proved again".to_owned(),
                )
                .into());
            }
            self.make_pending(&missing.lost).await?;
            healed += missing.lost.len() as u64;
            self.displace(&missing.displaced).await?;
        }
        Ok(healed)
    }

    /// Of no leader's word: these are past the stream's age limit, whoever leads.
    async fn displace(&self, displaced: &[Lost]) -> Result<(), WatchError> {
        for events in displaced.chunks(BATCH) {
            let changed = outbox_heal::displace(&self.watcher.pool, &self.tenure.token, events).await?;
            self.check_changed(events.len(), changed).await?;
        }
        Ok(())
    }

    async fn make_pending(&self, lost: &[Lost]) -> Result<(), WatchError> {
        // Newest first here as well: what a crash leaves to the next relay is older than all that is pending, so what that one
        // publishes again first overtakes nothing.
        for events in lost.rchunks(BATCH) {
            let changed = outbox_heal::heal(&self.watcher.pool, &self.tenure.token, events).await?;
            self.check_changed(events.len(), changed).await?;
        }
        Ok(())
    }

    /// Publishes a lost event again, under a fresh dedup id, and settles it.
    async fn publish_again(&self, lost: Lost, stopped: &HashSet<Aggregate>) -> Result<Shown, WatchError> {
        let Watcher { pool, publisher, source, .. } = self.watcher;
        let payload_bytes_max = publisher.payload_bytes_max();
        let Some(row) = outbox_heal::lost_row(pool, lost, payload_bytes_max).await? else { return Ok(Shown::Nothing) };
        let aggregate = (row.aggregate_type.clone(), row.aggregate_id.clone());
        let earlier = earlier(pool, &[lost.seq], lost.seq).await?;
        let is_behind = stopped.contains(&aggregate) || earlier.iter().any(|found| found.latest.is_some());
        let Some(mut event) =
            Event::from_row(row, source).ok().filter(|event| !is_behind && publisher.takes(&event.subject))
        else {
            return Ok(Shown::Unfit(aggregate));
        };
        let lost_id = event.msg_id();
        event.heal_epoch = event.heal_epoch.next();
        let end = publisher.stream_now().await?.last_seq;
        if let Some(place) = publisher.earlier_probe(&event, end).await? {
            return self.settle_again(lost, (event.heal_epoch, place)).await.map(|()| Shown::Nothing);
        }
        for _ in 0..TRIES_MAX {
            if !self.tenure.is_valid() {
                return Err(WatchError::Over);
            }
            let end = publisher.stream_now().await?.last_seq;
            // After the check: should another leader have answered it, this shows what that one has.
            if publisher.stored_at(lost.stream_seq).await?.is_some_and(|message| message.msg_id == lost_id) {
                return Err(Outage("what the stream lacked is there again: another server leads it".to_owned()).into());
            }
            let (shown, place) = match publisher.probe(&event, end).await? {
                Probe::Stored { stream_seq } => (Shown::Leads, stream_seq),
                Probe::Known { stream_seq } => (Shown::Nothing, stream_seq),
                Probe::Unfit { reason } => {
                    tracing::warn!(event.id = %event.envelope.event_id, reason, "a lost event can't be published again");
                    return Ok(Shown::Unfit(aggregate));
                }
                Probe::Forgotten => {
                    event.heal_epoch = event.heal_epoch.next();
                    continue;
                }
                Probe::Refused => continue,
            };
            self.settle_again(lost, (event.heal_epoch, place)).await?;
            return Ok(shown);
        }
        Err(Outage(
            "the stream's leader does not prove that it leads: it refuses each probe, as when others publish too fast"
                .to_owned(),
        )
        .into())
    }

    async fn settle_again(&self, lost: Lost, place: (HealEpoch, StreamSeq)) -> Result<(), WatchError> {
        let changed = outbox_heal::settle_probe(&self.watcher.pool, &self.tenure.token, lost, place).await?;
        self.check_changed(1, changed).await
    }
}
