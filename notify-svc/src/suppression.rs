//! Why an address gets no email, and why an email was held back. An address may be suppressed for several causes at once, and gets
//! nothing until each was removed: that a mailbox works again says nothing of its owner's will.

use clap::ValueEnum;
use serde::Serialize;
use utoipa::ToSchema;

/// Whom an address that was added after a bounce is recorded as added by.
pub const ITSELF: &str = "notify-svc";

/// Why an address gets no email.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema, ValueEnum, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum Cause {
    /// Its mail server said for good that there is no such recipient, to us or, later, to a mail provider.
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
}

/// Why an email was held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum HeldBack {
    /// The mail server said for good that there is no such recipient.
    Bounce,
    /// Its owner complained.
    Complaint,
    /// Its owner wants none.
    Unsubscribed,
    /// A person who operates this decided it.
    Operator,
    /// The customer was erased: there is no address any more.
    Erased,
}

impl HeldBack {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Bounce, Self::Complaint, Self::Unsubscribed, Self::Operator, Self::Erased];

    /// The name in the database, in answers and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => Cause::Bounce.as_str(),
            Self::Complaint => Cause::Complaint.as_str(),
            Self::Unsubscribed => Cause::Unsubscribed.as_str(),
            Self::Operator => Cause::Operator.as_str(),
            Self::Erased => "erased",
        }
    }

    /// What the record of an email says that was held back.
    pub fn told(self) -> String {
        match self {
            Self::Erased => "the recipient was erased".to_owned(),
            suppressed => format!("the recipient is suppressed: {}", suppressed.as_str()),
        }
    }
}

impl From<Cause> for HeldBack {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Bounce => Self::Bounce,
            Cause::Complaint => Self::Complaint,
            Cause::Unsubscribed => Self::Unsubscribed,
            Cause::Operator => Self::Operator,
        }
    }
}
