//! Writes outcomes back, guarded by the lease's token and by each event's id.
//!
//! Guarantees that a relay whose tenure is over changes nothing, and no row that is another event than the one that was
//! published (`a_row_that_takes_the_place_of_a_published_one_is_published_too`). A settle that fails is not tried again: the
//! database that answers next may be another one. The relay attaches again and settles what it finds in the stream, by id. A
//! crash in between leaves rows pending, for the next relay to find in the same way. Each settle is a statement of its own: a dead event whose
//! later events were not held yet is found again by the next claim.

use std::time::Duration;

use runtime::mysql::Pool;
use schema::names::OUTBOX_LEASE;
use schema::sequence::StreamSeq;

use super::claim::Aside;
use super::settlement::{Settlement, settle};
use crate::event::Event;
use crate::heal::Acks;
use crate::lease::Tenure;
use crate::limits::PutOff;
use crate::metrics::Metrics;
use crate::publish::Report;
use crate::store::outbox_settle::{self, Key, Run};
use crate::store::{lease, outbox_put_off};

/// Settles batches.
#[derive(Clone, Debug)]
pub struct Settler {
    pub pool: Pool,
    pub attempts_max: u32,
    pub metrics: Metrics,
    pub acks: Acks,
}

/// Why a batch was not settled, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Another relay holds the lease.
    #[error("another relay holds the lease")]
    LeaseLost,
    /// The database is away, or refuses.
    #[error("settling")]
    Database(#[from] sqlx::Error),
}

/// What was settled.
#[derive(Debug)]
pub struct Settled {
    /// Rows changed.
    pub rows: u64,
    /// Whether an event now stands in the way of later events of its aggregate.
    pub any_obstacle: bool,
}

/// What to write back.
#[derive(Debug, Default)]
struct Plan<'a> {
    published: Vec<(Key, StreamSeq)>,
    retries: Vec<(Key, Duration, String)>,
    forgotten: Vec<Key>,
    dead: Vec<(Key, String)>,
    held: &'a [Key],
    put_off: &'a [PutOff],
}

impl Settler {
    /// Settles a batch.
    ///
    /// # Errors
    /// See [`SettleError`].
    pub async fn settle(&self, tenure: &Tenure, report: Report, aside: &Aside) -> Result<Settled, SettleError> {
        let (plan, published) = self.plan(report, aside);
        if let Some((_, stream_seq)) = plan.published.last() {
            self.acks.note(*stream_seq);
        }
        let rows = self.write(tenure, &plan).await?;
        self.metrics.settled(&published, plan.retries.len(), plan.dead.len(), plan.forgotten.len());
        for (key, reason) in &plan.dead {
            tracing::error!(seq = key.seq.0, event_id = %key.event_id, reason, "event is dead, its order stands still until somebody acts");
        }
        self.metrics.put_off(&aside.put_off);
        for PutOff { key, reason, .. } in &aside.put_off {
            tracing::warn!(seq = key.seq.0, event_id = %key.event_id, reason, "event waits with what follows it, until the broker takes it");
        }
        Ok(Settled {
            rows,
            any_obstacle: plan.retries.len() + plan.dead.len() + plan.held.len() + plan.put_off.len() > 0,
        })
    }

    fn plan<'a>(&self, report: Report, aside: &'a Aside) -> (Plan<'a>, Vec<Event>) {
        let Aside { faulty, held, put_off } = aside;
        let mut plan = Plan { dead: faulty.clone(), held, put_off, ..Plan::default() };
        let mut published = Vec::with_capacity(report.outcomes.len());
        for (event, outcome) in report.outcomes {
            let key = event.key();
            match settle(outcome, event.attempts, self.attempts_max) {
                Settlement::Published { stream_seq } => {
                    plan.published.push((key, stream_seq));
                    published.push(event);
                }
                Settlement::Retry { delay, reason } => plan.retries.push((key, delay, reason)),
                Settlement::Forgotten => plan.forgotten.push(key),
                Settlement::Dead { reason } => plan.dead.push((key, reason)),
            }
        }
        // Sorted by key, so that two transactions over the same rows meet in the same order.
        plan.published.sort_unstable();
        (plan, published)
    }

    async fn write(&self, tenure: &Tenure, plan: &Plan<'_>) -> Result<u64, SettleError> {
        let rows = plan.apply(&self.pool, &tenure.token).await?;
        let planned = plan.rows();
        if rows < planned {
            // Somebody else changed the rows: another relay, an operator, or our own statement whose answer was lost.
            if !lease::is_held(&self.pool, OUTBOX_LEASE, &tenure.token).await? {
                return Err(SettleError::LeaseLost);
            }
            tracing::warn!(planned, rows, "some events had been changed by someone else");
        }
        Ok(rows)
    }
}

impl Plan<'_> {
    fn rows(&self) -> u64 {
        let aside = self.dead.len() + self.held.len() + self.put_off.len();
        (self.published.len() + self.retries.len() + self.forgotten.len() + aside) as u64
    }

    async fn apply(&self, pool: &Pool, token: &str) -> sqlx::Result<u64> {
        let mut rows = 0;
        match runs(&self.published) {
            Some(runs) => {
                for run in runs {
                    rows += outbox_settle::settle_run(pool, token, &run).await?;
                }
            }
            None => rows += outbox_settle::settle_published(pool, token, &self.published).await?,
        }
        for (key, delay, reason) in &self.retries {
            let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
            rows += outbox_settle::settle_retry(pool, token, *key, micros, reason).await?;
        }
        for key in &self.forgotten {
            rows += outbox_settle::settle_forgotten(pool, token, *key).await?;
        }
        for (key, reason) in &self.dead {
            rows += outbox_settle::settle_dead(pool, token, *key, reason).await?;
        }
        if !self.put_off.is_empty() {
            rows += outbox_put_off::put_off(pool, token, self.put_off).await?;
        }
        if !self.held.is_empty() {
            rows += outbox_settle::hold(pool, token, self.held).await?;
        }
        Ok(rows)
    }
}

/// More gaps than this are settled faster row by row, in one statement.
const RUNS_MAX: usize = 8;

/// The runs of acknowledged events given with their sequence in the stream in the order of `seq`; none if there are too
/// many. A row that commits late can't be inside a run, because a run has no gap.
fn runs(acknowledged: &[(Key, StreamSeq)]) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::with_capacity(RUNS_MAX);
    for &(Key { seq, event_id }, stream_seq) in acknowledged {
        let last = runs.last_mut();
        match last
            .filter(|run| seq == run.last.next() && stream_seq == run.stream_seq.plus(seq.distance_from(run.first)))
        {
            Some(run) => {
                run.last = seq;
                run.event_ids.extend_from_slice(event_id.as_bytes());
            }
            None => runs.push(Run { first: seq, last: seq, stream_seq, event_ids: event_id.as_bytes().to_vec() }),
        }
        if runs.len() > RUNS_MAX {
            return None;
        }
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use schema::sequence::Seq;
    use uuid::Uuid;

    use super::*;

    fn acknowledged(events: &[(u64, u64)]) -> Vec<(Key, StreamSeq)> {
        let key = |seq: u64| Key { seq: Seq(seq), event_id: Uuid::from_u128(seq.into()) };
        events.iter().map(|(seq, stream_seq)| (key(*seq), StreamSeq(*stream_seq))).collect()
    }

    #[test]
    fn a_run_ends_at_a_gap_on_either_side_and_names_each_of_its_events() {
        let run = |first: u64, last: u64, stream_seq| {
            let ids = (first..=last).flat_map(|seq| Uuid::from_u128(u128::from(seq)).into_bytes());
            let (first, last, stream_seq) = (Seq(first), Seq(last), StreamSeq(stream_seq));
            Run { first, last, stream_seq, event_ids: ids.collect() }
        };
        assert_eq!(runs(&[]), Some(vec![]));
        assert_eq!(runs(&acknowledged(&[(5, 1), (6, 2), (7, 3)])), Some(vec![run(5, 7, 1)]));
        let with_gaps = acknowledged(&[(5, 1), (7, 2), (8, 4)]);
        assert_eq!(runs(&with_gaps), Some(vec![run(5, 5, 1), run(7, 7, 2), run(8, 8, 4)]));
        let scattered: Vec<_> = (0..100).map(|n| (n * 2, n)).collect();
        assert_eq!(runs(&acknowledged(&scattered)), None);
    }
}
