//! Settings of a queue.

use std::time::Duration;

use clap::Args;

/// Settings of effects outside of the database.
#[derive(Clone, Copy, Debug, Args)]
pub struct EffectConfig {
    /// Attempts before an effect is dead that the other side fails at, or leaves without an answer. Outages spend none.
    #[arg(long, env = "EFFECT_ATTEMPTS_MAX", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub effect_attempts_max: u32,
}

/// What a lease has beside the time of the attempt: for the claim, and for the conclusion while the database is away for a
/// moment.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// How long an effect is kept from other processes if the one that performs it dies.
pub(crate) fn lease(attempt_time_max: Duration) -> Duration {
    attempt_time_max + LEASE_MARGIN
}
