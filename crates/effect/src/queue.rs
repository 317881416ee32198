//! What a queue is made of; how it works stands in `run`.

use std::sync::Arc;

use runtime::mysql::Pool;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::effect::Wake;
use crate::metrics::Metrics;
use crate::rate::Rate;
use crate::standing::Standing;

/// The queue of this process. It shares the table with those of other processes.
#[derive(Clone, Debug)]
pub struct Queue<P> {
    /// The database with the tables.
    pub pool: Pool,
    /// Its name, which effects are enqueued with.
    pub name: &'static str,
    /// Performs the effects.
    pub performer: P,
    /// How long, how often and how fast.
    pub limits: Limits,
    /// Woken after commits that enqueued.
    pub wake: Wake,
    /// What is counted.
    pub metrics: Metrics,
    /// The stop of the process.
    pub shutdown: CancellationToken,
}

/// What the effects under way share.
#[derive(Debug)]
pub(crate) struct Shared<P> {
    pub(crate) queue: Queue<P>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) rate: Rate,
}
