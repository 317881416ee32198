//! Whose fault it is that the provider did not do what it was asked, and whether it may have done it.

use std::time::Duration;

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nothing was sent that could take money: every charge would fail. Spends no attempt.
    #[error("payment provider is not available")]
    Unreachable(#[source] anyhow::Error),
    /// The provider refuses us: our key, our account or our settings. Every charge would fail. Spends no attempt.
    #[error("payment provider refuses us")]
    Refused(#[source] anyhow::Error),
    /// The provider has too much to do, or something else is under way with this intent. Spends no attempt.
    #[error("payment provider asks to wait")]
    Throttled {
        /// How long, if it said so.
        retry_after: Option<Duration>,
    },
    /// It was sent and nobody knows what became of it. The next attempt is a [`Repeat`](super::Attempt::Repeat).
    #[error("payment provider left the outcome open")]
    Unknown(#[source] anyhow::Error),
    /// The provider can never do this.
    #[error("payment provider rejects this for good: {code}: {message}")]
    Invalid {
        /// The provider's code, at most 64 characters.
        code: String,
        /// The provider's words, at most 500 characters.
        message: String,
    },
}
