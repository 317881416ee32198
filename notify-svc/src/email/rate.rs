//! How many emails a second this process hands to its transport.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// A steady beat; each email waits for one.
#[derive(Debug)]
pub struct Rate {
    beat: Mutex<Interval>,
}

impl Rate {
    /// So many a second, without bursts: a mail server that counts sees no more in any second.
    ///
    /// # Panics
    /// If `emails_max` is 0, which the settings refuse.
    pub fn new(emails_max: u32) -> Self {
        let mut beat = interval(Duration::from_secs(1) / emails_max);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { beat: Mutex::new(beat) }
    }

    /// Waits for this email's turn. May be dropped.
    pub(super) async fn turn(&self) {
        self.beat.lock().await.tick().await;
    }
}
