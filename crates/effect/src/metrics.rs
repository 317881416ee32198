//! What a queue counts, and how its table stands. All label values exist at 0 from the start; `queue` is the queue's name.

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounterVec, IntGauge, Opts, Registry};
use runtime::{counters, time};

use crate::store::count::Sample;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    Done,
    Failed,
    Unknown,
    PutOff,
    /// Not performed, because nobody wants it any more.
    Withdrawn,
    Dead,
    /// Another process has the effect, or had concluded it.
    Lost,
}

/// The metrics of a queue. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    attempts: IntCounterVec,
    up: IntGauge,
    pending: IntGauge,
    dead: IntGauge,
    oldest_age: Gauge,
    sampled_at: Gauge,
}

impl Metrics {
    /// Registers those of the queue with this name.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn register(registry: &Registry, queue: &str) -> prometheus::Result<Self> {
        let named = |name: &str, help: &str| Opts::new(name, help).const_label("queue", queue);
        let attempts =
            named("effect_attempts_total", "Attempts to perform an effect outside of the database, by outcome.");
        let attempts = IntCounterVec::new(attempts, &["outcome"])?;
        let up = "0 while effects wait because their other side is away or refuses us, else 1.";
        let metrics = Self {
            attempts: counters::start(registry, attempts, &Became::ALL.map(Became::as_str))?,
            up: IntGauge::with_opts(named("effect_up", up))?,
            pending: IntGauge::with_opts(named(
                "effect_pending",
                "Effects to be performed; 100000: that many or more.",
            ))?,
            dead: IntGauge::with_opts(named("effect_dead", "Effects in need of a person; 100000: that many or more."))?,
            oldest_age: Gauge::with_opts(named(
                "effect_oldest_pending_seconds",
                "Age of the oldest effect to be performed; 0 if there is none.",
            ))?,
            sampled_at: Gauge::with_opts(named(
                "effect_sampled_timestamp_seconds",
                "When the gauges of the effects were last read from the table, since 1970; 0 before that.",
            ))?,
        };
        metrics.up.set(1);
        let gauges: [Box<dyn Collector>; 5] = [
            Box::new(metrics.up.clone()),
            Box::new(metrics.pending.clone()),
            Box::new(metrics.dead.clone()),
            Box::new(metrics.oldest_age.clone()),
            Box::new(metrics.sampled_at.clone()),
        ];
        for gauge in gauges {
            registry.register(gauge)?;
        }
        Ok(metrics)
    }

    pub(crate) fn attempted(&self, became: Became) {
        self.attempts.with_label_values(&[became.as_str()]).inc();
    }

    pub(crate) fn set_up(&self, is_up: bool) {
        self.up.set(i64::from(is_up));
    }

    /// A sample of the table, taken now.
    pub(crate) fn sampled(&self, sample: &Sample) {
        self.pending.set(sample.pending);
        self.dead.set(sample.dead);
        self.oldest_age.set(sample.oldest_age.as_secs_f64());
        self.sampled_at.set(time::unix_seconds());
    }
}

impl Became {
    const ALL: [Self; 7] =
        [Self::Done, Self::Failed, Self::Unknown, Self::PutOff, Self::Withdrawn, Self::Dead, Self::Lost];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::PutOff => "put_off",
            Self::Withdrawn => "withdrawn",
            Self::Dead => "dead",
            Self::Lost => "lost",
        }
    }
}
