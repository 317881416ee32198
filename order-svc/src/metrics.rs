//! What order-svc counts. All label values exist at 0 from the start; requests and latency are runtime's.

use outbox::TransactionError;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Registry};
use runtime::counters;
use runtime::mysql::is_transient;

/// The counters. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    place: IntCounterVec,
    cancel: IntCounterVec,
    grouped: Histogram,
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
            | TransactionError::Contended(_)
            | TransactionError::VersionTaken => Self::Unavailable,
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
        let counter = |name, help| counters::register(registry, name, help, "outcome", &outcomes);
        let buckets = vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
        let help = "Orders that one COMMIT made durable together.";
        let grouped = Histogram::with_opts(HistogramOpts::new("orders_group_size", help).buckets(buckets))?;
        registry.register(Box::new(grouped.clone()))?;
        Ok(Self {
            grouped,
            place: counter("orders_place_total", "Requests to place an order, by outcome.")?,
            cancel: counter("orders_cancel_total", "Requests to cancel an order, by outcome.")?,
        })
    }

    /// Counts a request to place an order.
    pub fn placed(&self, outcome: Outcome) {
        self.place.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Counts a group by its orders.
    pub fn grouped(&self, orders: usize) {
        self.grouped.observe(f64::from(u32::try_from(orders).unwrap_or(u32::MAX)));
    }

    /// Counts a request to cancel an order.
    pub fn cancelled(&self, outcome: Outcome) {
        self.cancel.with_label_values(&[outcome.as_str()]).inc();
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
        let is_sample = |line: &&str| !line.starts_with('#') && !line.contains("_bucket{");
        let samples: Vec<_> = text.lines().filter(is_sample).collect();
        let expected = [
            r#"orders_cancel_total{outcome="done"} 0"#,
            r#"orders_cancel_total{outcome="failed"} 0"#,
            r#"orders_cancel_total{outcome="refused"} 0"#,
            r#"orders_cancel_total{outcome="repeated"} 0"#,
            r#"orders_cancel_total{outcome="unavailable"} 0"#,
            "orders_group_size_sum 0",
            "orders_group_size_count 0",
            r#"orders_place_total{outcome="done"} 0"#,
            r#"orders_place_total{outcome="failed"} 0"#,
            r#"orders_place_total{outcome="refused"} 0"#,
            r#"orders_place_total{outcome="repeated"} 0"#,
            r#"orders_place_total{outcome="unavailable"} 0"#,
        ];
        assert_eq!(samples, expected);
    }
}
