//! What a queue is made of; how it works stands in `run`.

use std::time::Duration;

use runtime::mysql::Pool;
use tokio_util::sync::CancellationToken;

use crate::config::EffectConfig;
use crate::effect::Wake;
use crate::metrics::Metrics;

/// The queue of this process. It shares the table with those of other processes.
#[derive(Clone, Debug)]
pub struct Queue<P> {
    /// The database with the tables.
    pub pool: Pool,
    /// Its name, which effects are enqueued with.
    pub name: &'static str,
    /// Performs the effects.
    pub performer: P,
    /// How long an attempt may take. Longer than the performer waits for its answer.
    pub attempt_time_max: Duration,
    /// See [`EffectConfig`].
    pub config: EffectConfig,
    /// Woken after commits that enqueued.
    pub wake: Wake,
    /// What is counted.
    pub metrics: Metrics,
    /// The stop of the process.
    pub shutdown: CancellationToken,
}
