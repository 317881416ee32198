//! Lets held events go on when nothing stands in their way any more: the dead event before them was requeued or discarded,
//! their subject is no longer paused, the stream takes it again, or it is time to try one that is above a limit.
//!
//! The verbs release what they can see; this sweep also finds what the relay held at the same moment, from a claim that
//! was older than the action. It decides nothing: an event released too early is held again by its next claim. Each sweep
//! reads one window of held rows, so its cost does not grow with their number.

use std::collections::{HashMap, HashSet};

use runtime::mysql::Pool;
use runtime::telemetry::chain;
use schema::sequence::Seq;
use tokio_util::sync::CancellationToken;

use super::pause::{INTERVAL, Pauses};
use crate::event::Aggregate;
use crate::lease::Activity;
use crate::store::outbox_earlier::{Earlier, earlier};
use crate::store::outbox_held::{self, HeldRow};
use crate::terms::Terms;

/// Held rows read together.
const WINDOW: u32 = 1_000;

/// Of the events that wait for a limit, so many of a window are tried at once: however many wait, they cost little.
const TRIED_MAX: usize = 10;

/// What the sweep works with.
#[derive(Clone, Debug)]
pub struct Release {
    pub pool: Pool,
    pub pauses: Pauses,
    pub terms: Terms,
    pub activity: Activity,
}

impl Release {
    /// Sweeps until shutdown, in the active relay only.
    ///
    /// # Errors
    /// Never; a failed sweep is logged and tried again.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut timer = tokio::time::interval(INTERVAL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut after = Seq::ZERO;
        while shutdown.run_until_cancelled(timer.tick()).await.is_some() {
            while self.activity.is_active() && !shutdown.is_cancelled() && self.goes_on(&mut after).await {}
        }
        Ok(())
    }

    /// Sweeps one window from a place on, and moves the place; whether the next window is to be read at once.
    async fn goes_on(&self, after: &mut Seq) -> bool {
        match self.sweep(*after).await {
            Ok(Swept { released, next }) => {
                *after = next;
                released > 0 && next > Seq::ZERO
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "can't release held events, trying again");
                false
            }
        }
    }

    async fn sweep(&self, after: Seq) -> sqlx::Result<Swept> {
        let rows = outbox_held::window(&self.pool, after, WINDOW).await?;
        let is_full = rows.len() == WINDOW as usize;
        let Some(last) = rows.last().map(|row| row.seq) else { return Ok(Swept { released: 0, next: Seq::ZERO }) };
        let next = if is_full { last } else { Seq::ZERO };
        let earlier = earlier(&self.pool, &first_of_each(&rows), last).await?;
        let (paused, taken) = (self.pauses.now(), self.terms.now());
        let is_taken = |subject: &str| taken.as_ref().is_none_or(|taken| taken.takes(subject));
        let free = free(rows, &earlier, |subject| !paused.include(subject) && is_taken(subject));
        if free.is_empty() {
            return Ok(Swept { released: 0, next });
        }
        let released = outbox_held::release(&self.pool, &free).await?;
        tracing::info!(released, "held events go on");
        Ok(Swept { released, next })
    }
}

struct Swept {
    released: u64,
    /// Where the next window begins; 0 after the last one.
    next: Seq,
}

/// The first row of each aggregate, of rows in `seq` order.
fn first_of_each(rows: &[HeldRow]) -> Vec<Seq> {
    let mut seen = HashSet::new();
    let first = rows.iter().filter(|row| seen.insert((&row.aggregate_type, &row.aggregate_id)));
    first.map(|row| row.seq).collect()
}

/// The rows, given in `seq` order, that nothing holds back.
fn free(rows: Vec<HeldRow>, earlier: &[Earlier], is_open: impl Fn(&str) -> bool) -> Vec<Seq> {
    let mut tried = 0;
    let stopped: HashMap<Seq, Seq> = earlier.iter().filter_map(|found| Some((found.seq, found.stopped?))).collect();
    // Where the first thing stands that holds events of the aggregate back.
    let mut stops: HashMap<Aggregate, Option<Seq>> = HashMap::new();
    let mut free = Vec::new();
    for row in rows {
        let stop = stops.entry((row.aggregate_type, row.aggregate_id));
        let stop = stop.or_insert_with(|| stopped.get(&row.seq).copied());
        let is_early = row.waits || (row.is_put_off && tried == TRIED_MAX);
        if stop.is_some_and(|stop| stop < row.seq) || !is_open(&row.subject) || is_early {
            *stop = Some(stop.unwrap_or(row.seq).min(row.seq));
        } else {
            tried += usize::from(row.is_put_off);
            free.push(row.seq);
        }
    }
    free
}
