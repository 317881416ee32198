//! The lease of one email, as its sender knows it while the dialogue runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Until when nobody else sends this email, by this process's own clock.
#[derive(Debug)]
pub struct Hold {
    until: Mutex<Instant>,
    has_left: AtomicBool,
}

impl Hold {
    /// A lease that was asked for at `since`.
    pub fn new(since: Instant, lease: Duration) -> Self {
        Self { until: Mutex::new(since + lease), has_left: AtomicBool::new(false) }
    }

    /// It was prolonged by a statement that began at `since`.
    pub fn prolong(&self, since: Instant, lease: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = since + lease;
    }

    /// Asked right before the content goes out: whether the email is still this sender's. A process that was frozen
    /// in the dialogue for longer than the lease must not send what another has sent meanwhile.
    pub fn let_go(&self) -> bool {
        let is_held = Instant::now() < *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_left.fetch_or(is_held, Ordering::SeqCst);
        is_held
    }

    /// Whether the content went out: the transport may have taken the email, whatever it said.
    pub fn has_left(&self) -> bool {
        self.has_left.load(Ordering::SeqCst)
    }
}
