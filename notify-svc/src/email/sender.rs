//! What the queue and its deliveries share.

use std::sync::Arc;
use std::time::Duration;

use runtime::mysql::Pool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::mailer::Mailer;
use super::rate::Rate;
use super::standing::Standing;
use crate::metrics::Metrics;

/// Emails on their way at once: what a killed process may send twice.
pub const UNDER_WAY_MAX: usize = 8;
/// Between attempts of one email that the server refuses: the eighth comes after about an hour.
pub(super) const REFUSED_DELAY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1800));

/// The sender of this process.
#[derive(Debug)]
pub struct Queue {
    /// The database `notifications`.
    pub pool: Pool,
    /// Takes the emails away.
    pub mailer: Mailer,
    /// Attempts before an email is dead.
    pub attempts_max: u32,
    /// How fast they go.
    pub rate: Rate,
    /// Woken after a commit that made emails; carries nothing and may be lost, for the queue polls too.
    pub wake: Arc<Notify>,
    /// What is counted.
    pub metrics: Metrics,
    /// The stop of the process.
    pub shutdown: CancellationToken,
}

/// What the deliveries share.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) queue: Queue,
    pub(super) standing: Standing,
}
