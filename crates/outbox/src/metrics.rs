//! What an outbox counts. All label values exist at 0 from the start.

use prometheus::{IntCounter, IntCounterVec, Registry};
use runtime::counters;

/// The counters. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    appended: IntCounterVec,
    retries: IntCounter,
    wake_hints: IntCounterVec,
}

/// What became of a wake hint, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Handed to the connection.
    Sent,
    /// Not: the relay will find the event when it polls.
    Dropped,
}

impl Hint {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Sent, Self::Dropped];

    /// The label of the metric.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, event_types: &[&str]) -> prometheus::Result<Self> {
        let retries = IntCounter::new(
            "outbox_transaction_retries_total",
            "Transactions tried again as a whole after a fault that passes by itself.",
        )?;
        registry.register(Box::new(retries.clone()))?;
        Ok(Self {
            appended: counters::register(
                registry,
                "outbox_events_appended_total",
                "Events committed to the outbox.",
                "event_type",
                event_types,
            )?,
            retries,
            wake_hints: counters::register(
                registry,
                "outbox_wake_hints_total",
                "Wake hints to the relay; it polls when they are dropped.",
                "outcome",
                &Hint::ALL.map(Hint::as_str),
            )?,
        })
    }

    pub(crate) fn appended(&self, event_type: &str) {
        self.appended.with_label_values(&[event_type]).inc();
    }

    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    pub(crate) fn wake_hint(&self, hint: Hint) {
        self.wake_hints.with_label_values(&[hint.as_str()]).inc();
    }
}
