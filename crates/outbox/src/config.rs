//! The settings of an outbox: flags or environment variables.

use std::num::NonZeroUsize;

/// Flatten it into a service's own.
#[derive(Clone, Debug, clap::Args)]
pub struct OutboxConfig {
    /// The broker's max_payload in bytes: a larger event is refused with what it is about, because it could never be published.
    #[arg(long, env = "EVENT_BYTES_MAX", default_value_t = EventBytesMax::DEFAULT)]
    pub event_bytes_max: EventBytesMax,
}

/// Bytes that a message may have at the broker: payload, headers and envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBytesMax(NonZeroUsize);

impl Default for OutboxConfig {
    fn default() -> Self {
        Self { event_bytes_max: EventBytesMax::DEFAULT }
    }
}

impl EventBytesMax {
    /// What nats-server takes unless it is told otherwise.
    pub const DEFAULT: Self = Self(NonZeroUsize::new(1024 * 1024).unwrap());

    /// The number.
    pub const fn get(self) -> usize {
        self.0.get()
    }
}

impl std::str::FromStr for EventBytesMax {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for EventBytesMax {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
