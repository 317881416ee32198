//! What a queue counts, and how its table stands. All label values exist at 0 from the start.

use prometheus::{Gauge, IntCounterVec, IntGauge, Registry};
use runtime::counters;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    Done,
    Failed,
    Unknown,
    PutOff,
    Dead,
    /// Another process has the effect, or had concluded it.
    Lost,
}

/// The metrics of a queue. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    attempts: IntCounterVec,
    pub(crate) pending: IntGauge,
    pub(crate) dead: IntGauge,
    pub(crate) oldest_age: Gauge,
    pub(crate) sampled_at: Gauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            attempts: counters::register(
                registry,
                "effect_attempts_total",
                "Attempts to perform an effect outside of the database, by outcome.",
                "outcome",
                &Became::ALL.map(Became::as_str),
            )?,
            pending: IntGauge::new("effect_pending", "Effects to be performed; 10000: that many or more.")?,
            dead: IntGauge::new("effect_dead", "Effects in need of a person; 10000: that many or more.")?,
            oldest_age: Gauge::new("effect_oldest_pending_seconds", "Age of the oldest effect to be performed.")?,
            sampled_at: Gauge::new(
                "effect_sampled_timestamp_seconds",
                "When the gauges of the effects were last read from the table, since 1970; 0 before that.",
            )?,
        };
        registry.register(Box::new(metrics.pending.clone()))?;
        registry.register(Box::new(metrics.dead.clone()))?;
        registry.register(Box::new(metrics.oldest_age.clone()))?;
        registry.register(Box::new(metrics.sampled_at.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn attempted(&self, became: Became) {
        self.attempts.with_label_values(&[became.as_str()]).inc();
    }
}

impl Became {
    const ALL: [Self; 6] = [Self::Done, Self::Failed, Self::Unknown, Self::PutOff, Self::Dead, Self::Lost];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::PutOff => "put_off",
            Self::Dead => "dead",
            Self::Lost => "lost",
        }
    }
}
