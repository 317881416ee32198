//! What order-svc counts. All label values exist at 0 from the start; requests and latency are runtime's.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use runtime::mysql::is_transient;
use schema::event::EventType;

use crate::store::transaction::TransactionError;

/// The counters. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    place: IntCounterVec,
    cancel: IntCounterVec,
    appended: IntCounterVec,
    retries: IntCounter,
    wake_hints: IntCounterVec,
}

/// What became of a request to place or to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// As asked, and done by an earlier request.
    Repeated,
    /// The request was at fault.
    Refused,
    /// The database was.
    Unavailable,
    /// We were.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Done, Self::Repeated, Self::Refused, Self::Unavailable, Self::Failed];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }

    /// The outcome that a failed transaction is.
    pub fn of_error(error: &TransactionError) -> Self {
        match error {
            TransactionError::BeforeCommit(error) if !is_transient(error) => Self::Failed,
            TransactionError::EventTooLarge { .. } => Self::Refused,
            TransactionError::BeforeCommit(_)
            | TransactionError::AtCommit(_)
            | TransactionError::KeyContended
            | TransactionError::VersionTaken => Self::Unavailable,
        }
    }
}

/// What became of a wake hint, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Handed to the connection.
    Sent,
    /// Not: the relay will find the event when it polls.
    Dropped,
}

impl Hint {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sent, Self::Dropped];

    /// The label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
        }
    }
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let outcomes = Outcome::ALL.map(Outcome::as_str);
        let counter = |name, help, label, values: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            for value in values {
                counter.with_label_values(&[*value]);
            }
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let retries = IntCounter::new(
            "orders_transaction_retries_total",
            "Transactions tried again as a whole after a fault that passes by itself.",
        )?;
        registry.register(Box::new(retries.clone()))?;
        Ok(Self {
            place: counter("orders_place_total", "Requests to place an order, by outcome.", "outcome", &outcomes)?,
            cancel: counter("orders_cancel_total", "Requests to cancel an order, by outcome.", "outcome", &outcomes)?,
            appended: counter(
                "outbox_events_appended_total",
                "Events committed to the outbox.",
                "event_type",
                &EventType::ALL.map(EventType::as_str),
            )?,
            retries,
            wake_hints: counter(
                "outbox_wake_hints_total",
                "Wake hints to the relay; it polls when they are dropped.",
                "outcome",
                &Hint::ALL.map(Hint::as_str),
            )?,
        })
    }

    /// Counts a request to place an order.
    pub fn placed(&self, outcome: Outcome) {
        self.place.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Counts a request to cancel an order.
    pub fn cancelled(&self, outcome: Outcome) {
        self.cancel.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Counts a committed event.
    pub fn appended(&self, event_type: EventType) {
        self.appended.with_label_values(&[event_type.as_str()]).inc();
    }

    /// Counts a transaction that is tried again.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// Counts a wake hint.
    pub fn wake_hint(&self, hint: Hint) {
        self.wake_hints.with_label_values(&[hint.as_str()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_at_0_from_the_start() {
        let registry = Registry::new();
        Metrics::register(&registry).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            r#"orders_cancel_total{outcome="done"} 0"#,
            r#"orders_cancel_total{outcome="failed"} 0"#,
            r#"orders_cancel_total{outcome="refused"} 0"#,
            r#"orders_cancel_total{outcome="repeated"} 0"#,
            r#"orders_cancel_total{outcome="unavailable"} 0"#,
            r#"orders_place_total{outcome="done"} 0"#,
            r#"orders_place_total{outcome="failed"} 0"#,
            r#"orders_place_total{outcome="refused"} 0"#,
            r#"orders_place_total{outcome="repeated"} 0"#,
            r#"orders_place_total{outcome="unavailable"} 0"#,
            "orders_transaction_retries_total 0",
            r#"outbox_events_appended_total{event_type="order.cancelled"} 0"#,
            r#"outbox_events_appended_total{event_type="order.created"} 0"#,
            r#"outbox_wake_hints_total{outcome="dropped"} 0"#,
            r#"outbox_wake_hints_total{outcome="sent"} 0"#,
        ];
        assert_eq!(samples, expected);
    }
}
