//! Readiness as a latch: not ready until every part has reported once, and never again after a stop began.
//!
//! A database outage does not make a replica unready: all replicas share the database, and taking them all out of
//! service would turn clear 503 answers into refused connections. A refused login does: it is this replica's secret that
//! is out of date, and another one may have the new one.
//!
//! What a person must act on is told with it, and by the caller's choice makes the process unready until it is fixed: a process
//! that is asked by nobody, as the relay is, uses readiness as a signal; one that serves goes on and tells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::terminal::one_line;

/// What makes the process unready, and whether it holds.
type Fault = (&'static str, Arc<AtomicBool>);

/// What is told, a line each, and whether it makes the process unready.
type Report = (Weight, watch::Receiver<Vec<String>>);

/// What a report does to readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The process is unready while the report has a line.
    Unready,
    /// The lines are told, and the process stays ready.
    Told,
}

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether the process is to be asked.
    pub is_ready: bool,
    /// What the process waits for, and what a person must act on; each is one line.
    pub lines: Vec<String>,
}

/// Who is not ready yet.
#[derive(Clone, Debug)]
pub struct Readiness {
    waiting: Arc<Mutex<Vec<&'static str>>>,
    faults: Arc<Mutex<Vec<Fault>>>,
    reports: Arc<Mutex<Vec<Report>>>,
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
        Self { waiting: Arc::default(), faults: Arc::default(), reports: Arc::default(), shutdown }
    }

    /// Makes the process wait for one more part.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        Latch { name, readiness: self.clone() }
    }

    /// What is to be said now.
    pub fn state(&self) -> State {
        let waiting = self.waiting();
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |(_, lines): &&Report| !lines.borrow().is_empty();
        let is_ready =
            waiting.is_empty() && !reports.iter().filter(holds).any(|(weight, _)| *weight == Weight::Unready);
        let waiting = waiting.into_iter().map(|part| format!("waiting for {part}"));
        let told = reports.iter().flat_map(|(_, lines)| lines.borrow().clone());
        State { is_ready, lines: waiting.chain(told.map(|line| one_line(&line))).collect() }
    }

    /// Tells these lines, as they are whenever somebody asks.
    pub fn report(&self, weight: Weight, lines: watch::Receiver<Vec<String>>) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push((weight, lines));
    }

    /// What the process still waits for.
    fn waiting(&self) -> Vec<&'static str> {
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
        assert_eq!(readiness.state(), State { is_ready: true, lines: Vec::new() });
        shutdown.cancel();
        assert_eq!(readiness.waiting(), ["shutdown"]);
    }

    #[test]
    fn a_report_is_told_and_makes_unready_by_its_weight_until_it_is_empty() {
        let readiness = Readiness::new(CancellationToken::new());
        let (told, fatal) = (watch::Sender::new(Vec::new()), watch::Sender::new(Vec::new()));
        readiness.report(Weight::Told, told.subscribe());
        readiness.report(Weight::Unready, fatal.subscribe());
        told.send_replace(vec!["the\nconsumer".to_owned()]);
        assert_eq!(readiness.state(), State { is_ready: true, lines: vec!["the\\nconsumer".to_owned()] });
        fatal.send_replace(vec!["the stream".to_owned()]);
        assert!(!readiness.state().is_ready);
        assert_eq!(readiness.state().lines.len(), 2);
        told.send_replace(Vec::new());
        fatal.send_replace(Vec::new());
        assert_eq!(readiness.state(), State { is_ready: true, lines: Vec::new() });
    }
}
