//! The effects under way in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schema::ids::EffectId;
use tokio::task::{JoinError, JoinSet};

use crate::hold::Hold;

/// Effects under way at once: what a killed process may do twice.
pub const UNDER_WAY_MAX: usize = 8;
/// More of them while as many hang: minutes may pass until those are given up.
pub const SLOW_MAX: usize = 4;
/// An effect that is under way for so long hangs; others of its party are passed over.
pub(crate) const SLOW: Duration = Duration::from_secs(5);
/// Of them, effects that were tried before: those that hang leave room for the others.
const RETRIES_MAX: usize = 4;

/// How an effect got under way.
#[derive(Debug)]
struct Begun {
    at: Instant,
    hold: Arc<Hold>,
    is_retry: bool,
    /// Whether alone, to tell how the other side is.
    is_probe: bool,
}

/// The effects under way.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    set: JoinSet<EffectId>,
    begun: HashMap<EffectId, Begun>,
}

impl Tasks {
    pub(crate) fn begin(
        &mut self,
        id: EffectId,
        hold: Arc<Hold>,
        (is_retry, is_probe): (bool, bool),
        performed: impl Future<Output = ()> + Send + 'static,
    ) {
        self.begun.insert(id, Begun { at: Instant::now(), hold, is_retry, is_probe });
        self.set.spawn(async move {
            performed.await;
            id
        });
    }

    /// Waits for one that ends; none if there is none.
    ///
    /// # Panics
    /// If it panicked.
    pub(crate) async fn one_ended(&mut self) -> Option<()> {
        let ended: Result<EffectId, JoinError> = self.set.join_next().await?;
        let id = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.begun.remove(&id);
        Some(())
    }

    pub(crate) async fn all_ended(&mut self) {
        while self.one_ended().await.is_some() {}
    }

    pub(crate) fn contains(&self, id: EffectId) -> bool {
        self.begun.contains_key(&id)
    }

    pub(crate) fn are_many(&self) -> bool {
        self.begun.len() >= UNDER_WAY_MAX
    }

    /// How many more may be.
    pub(crate) fn free(&self) -> usize {
        (UNDER_WAY_MAX + self.slow().count().min(SLOW_MAX)).saturating_sub(self.begun.len())
    }

    /// How many more of those that were tried before.
    pub(crate) fn free_retries(&self) -> usize {
        RETRIES_MAX.saturating_sub(self.begun.values().filter(|begun| begun.is_retry).count())
    }

    /// Parties of effects that hang, one for each.
    pub(crate) fn slow(&self) -> impl Iterator<Item = String> {
        self.begun.values().filter(|begun| begun.at.elapsed() > SLOW).map(|begun| begun.hold.party())
    }

    /// Whether a probe is under way that may still tell something soon: one that hangs leaves it to the next.
    pub(crate) fn are_probing(&self) -> bool {
        self.begun.values().any(|begun| begun.is_probe && begun.at.elapsed() <= SLOW)
    }
}
