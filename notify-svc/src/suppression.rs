//! Why an address gets no email.

use clap::ValueEnum;
use serde::Serialize;
use utoipa::ToSchema;

/// Whom an address that was added after a bounce is recorded as added by.
pub const ITSELF: &str = "notify-svc";

/// Whether this could be an address in the database.
pub fn is_address(text: &str) -> bool {
    text.chars().count() <= 254 && text.contains('@') && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Why an address gets no email.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema, ValueEnum, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum Cause {
    /// The mail server said for good that there is no such recipient.
    Bounce,
    /// Its owner complained.
    Complaint,
    /// Its owner wants none.
    Unsubscribed,
    /// A person who operates this decided it.
    Operator,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bounce, Self::Complaint, Self::Unsubscribed, Self::Operator];

    /// The name in the database, in answers and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::Unsubscribed => "unsubscribed",
            Self::Operator => "operator",
        }
    }

    /// What the record of an email says that was held back.
    pub fn told(self) -> String {
        format!("the recipient is suppressed: {}", self.as_str())
    }
}
