//! Readiness as a latch: not ready until every part has reported once, and never again after a stop began.
//!
//! A database outage does not make a replica unready: all replicas share the database, and taking them all out of
//! service would turn clear 503 answers into refused connections. A refused login does: it is this replica's secret that
//! is out of date, and another one may have the new one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// What makes the process unready, and whether it holds.
type Fault = (&'static str, Arc<AtomicBool>);

/// Who is not ready yet.
#[derive(Clone, Debug)]
pub struct Readiness {
    waiting: Arc<Mutex<Vec<&'static str>>>,
    faults: Arc<Mutex<Vec<Fault>>>,
    shutdown: CancellationToken,
}

/// One part's say in the readiness of the process.
#[derive(Debug)]
pub struct Latch {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Ready until the first latch is made; unready for good once `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { waiting: Arc::default(), faults: Arc::default(), shutdown }
    }

    /// Makes the process wait for one more part.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        Latch { name, readiness: self.clone() }
    }

    /// What the process still waits for: nothing when it is ready.
    pub fn waiting(&self) -> Vec<&'static str> {
        if self.shutdown.is_cancelled() {
            return vec!["shutdown"];
        }
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = faults.iter().filter(|(_, holds)| holds.load(Ordering::Relaxed)).map(|(name, _)| *name);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().chain(faults).collect()
    }

    /// Makes the process unready whenever this fault holds.
    pub fn unready_while(&self, name: &'static str, fault: Arc<AtomicBool>) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push((name, fault));
    }
}

impl Latch {
    /// Reports the part ready.
    pub fn set(self) {
        let mut waiting = self.readiness.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|name| *name != self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_part_reported_and_no_stop_began() {
        let shutdown = CancellationToken::new();
        let readiness = Readiness::new(shutdown.clone());
        let (mysql, nats) = (readiness.latch("mysql"), readiness.latch("nats"));
        mysql.set();
        assert_eq!(readiness.waiting(), ["nats"]);
        nats.set();
        assert!(readiness.waiting().is_empty());
        let fault = Arc::new(AtomicBool::new(true));
        readiness.unready_while("login", Arc::clone(&fault));
        assert_eq!(readiness.waiting(), ["login"]);
        fault.store(false, Ordering::Relaxed);
        assert!(readiness.waiting().is_empty());
        shutdown.cancel();
        assert_eq!(readiness.waiting(), ["shutdown"]);
    }
}
