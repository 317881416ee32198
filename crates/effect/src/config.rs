//! Settings and limits of a queue.

use std::time::Duration;

use clap::Args;
use runtime::config::duration;

/// Settings of effects outside of the database.
#[derive(Clone, Copy, Debug, Args)]
pub struct EffectConfig {
    /// Attempts before an effect is dead that the other side fails at, or leaves without an answer. Outages spend none.
    #[arg(long, env = "EFFECT_ATTEMPTS_MAX", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub effect_attempts_max: u32,

    /// Attempts a second that this process begins at most.
    #[arg(long, env = "EFFECT_RATE_MAX", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub effect_rate_max: u32,

    /// How long an effect is kept after it was concluded, withdrawn or discarded. 0s: for ever.
    #[arg(long, env = "EFFECT_RETENTION", default_value = "30d", value_parser = duration)]
    pub effect_retention: Duration,
}

/// The limits of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long an attempt may take: longer than the performer waits for its answer.
    pub attempt_time_max: Duration,
    /// Attempts before an effect is dead.
    pub attempts_max: u32,
    /// Attempts a second that this process begins at most.
    pub rate_max: u32,
    /// After the first attempt that was spent, until the second; twice as long after each, up to half an hour.
    pub delay_first: Duration,
    /// How long an effect is kept after it ended; zero for ever.
    pub retention: Duration,
}

impl EffectConfig {
    /// With what an attempt takes at most, and the delay after the first one.
    pub fn limits(&self, attempt_time_max: Duration, delay_first: Duration) -> Limits {
        Limits {
            attempt_time_max,
            attempts_max: self.effect_attempts_max,
            rate_max: self.effect_rate_max,
            delay_first,
            retention: self.effect_retention,
        }
    }
}
