//! Whose fault it is that an email was not taken, as far as its dialogue tells.

/// Why an email was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The transport is not there, or not for us: every email would fail. Spends no attempt.
    #[error("email transport is not available")]
    Unreachable(#[source] anyhow::Error),
    /// The server failed while it had to do with this email: its fault, or the email's, as others show.
    #[error("email server failed at this email")]
    Unclear(#[source] anyhow::Error),
    /// The email went out and nobody knows whether it was taken.
    #[error("email was sent without an answer")]
    Unknown(#[source] anyhow::Error),
    /// The transport was asked and said no to this email; later it may say yes.
    #[error("email was refused")]
    Refused(#[source] anyhow::Error),
    /// The transport said no to this email for good: because of its address or its content, or because it says so to all.
    #[error("email was rejected")]
    Rejected(#[source] anyhow::Error),
    /// As `Rejected`, because the server knows no such recipient.
    #[error("email was rejected")]
    NoRecipient(#[source] anyhow::Error),
    /// It can't even be composed: no transport was asked.
    #[error("email can't be composed")]
    Invalid(#[source] anyhow::Error),
}

impl SendError {
    /// Whether it is certain that nobody gets this email by this attempt.
    pub(super) const fn is_not_sent(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::Unreachable(_)
            | Self::Unclear(_)
            | Self::Refused(_)
            | Self::Rejected(_)
            | Self::NoRecipient(_)
            | Self::Invalid(_) => true,
        }
    }
}
