//! How many attempts a second this process begins.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// A steady beat; each attempt waits for one.
#[derive(Debug)]
pub(crate) struct Rate {
    beat: Mutex<Interval>,
}

impl Rate {
    /// So many a second, without bursts: another side that counts sees no more in any second.
    ///
    /// # Panics
    /// If `attempts_max` is 0, which the settings refuse.
    pub(crate) fn new(attempts_max: u32) -> Self {
        let mut beat = interval(Duration::from_secs(1) / attempts_max);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { beat: Mutex::new(beat) }
    }

    /// Waits for this attempt's turn. May be dropped.
    pub(crate) async fn turn(&self) {
        self.beat.lock().await.tick().await;
    }
}
