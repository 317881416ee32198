//! Whose fault it is when a dialogue fails: the server's or ours, the email's, or nobody can say yet.
//!
//! Where in the dialogue it happened decides first, then the enhanced code, then the code. What is unclear is decided by
//! what becomes of other emails: see [`effect::Attempt::Unclear`].

use std::fmt;
use std::io;

use super::reply::Reply;
use crate::email::send_error::SendError;

/// How far a dialogue had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Connect,
    Greeting,
    Hello,
    Encryption,
    Login,
    Sender,
    Recipient,
    Data,
    /// The email itself, and the answer to its final dot.
    Content,
}

/// How a stage failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("{0}")]
    Said(Reply),
    #[error("no answer in time")]
    Silent,
    #[error("{0}")]
    Lost(#[from] io::Error),
    #[error("{0}")]
    Unfit(&'static str),
}

/// What failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {cause}")]
pub(super) struct Fault {
    pub(super) stage: Stage,
    pub(super) cause: Cause,
}

/// What a reply speaks about.
#[derive(Debug, PartialEq, Eq)]
enum About {
    Email,
    Unclear,
}

impl Stage {
    pub(super) fn fault(self, cause: impl Into<Cause>) -> Fault {
        Fault { stage: self, cause: cause.into() }
    }
}

impl Fault {
    /// What it means for the email; `is_plain` if its MAIL command is the same as that of every other.
    pub(super) fn judge(self, is_plain: bool) -> SendError {
        let before_the_email = if is_plain { Stage::Sender } else { Stage::Login };
        let about = match &self.cause {
            _ if self.stage <= before_the_email => return SendError::Unreachable(self.into()),
            Cause::Said(reply) => about(self.stage, reply),
            Cause::Silent | Cause::Lost(_) if self.stage == Stage::Content => return SendError::Unknown(self.into()),
            Cause::Silent | Cause::Lost(_) => About::Unclear,
            Cause::Unfit(_) => About::Email,
        };
        let is_permanent = matches!(&self.cause, Cause::Said(reply) if reply.is_permanent());
        match about {
            About::Unclear => SendError::Unclear(self.into()),
            About::Email if self.stage == Stage::Recipient && is_permanent && self.names_no_mailbox() => {
                SendError::NoRecipient(self.into())
            }
            About::Email if is_permanent => SendError::Rejected(self.into()),
            About::Email => SendError::Refused(self.into()),
        }
    }

    /// Whether the reply says by its enhanced code that the recipient's mailbox or domain is not there. Without such a code it
    /// may as well be a policy, of which the address knows nothing.
    fn names_no_mailbox(&self) -> bool {
        let Cause::Said(reply) = &self.cause else { return false };
        matches!(reply.enhanced(), Some((1, 1..=3 | 6 | 10) | (2, 1)))
    }
}

/// What a negative reply from MAIL on speaks about.
fn about(stage: Stage, reply: &Reply) -> About {
    let is_content = stage == Stage::Content;
    match (reply.code, reply.enhanced()) {
        // Its state, our rights, its storage, a quota: RFC 5321 has no code that tells whose.
        (421 | 432 | 454 | 500..=504 | 521 | 530..=538 | 555, _) | (_, Some((1, 7 | 8) | (4, 5) | (5, _))) => {
            About::Unclear
        }
        // An address, or content.
        (_, Some((1 | 6, _) | (3, 4) | (2, 3))) => About::Email,
        // A mailbox that is full, and a relay whose quota is used up, look the same.
        (452 | 552, _) | (_, Some((2, 2) | (3, _))) => About::Unclear,
        // Our own standing: SPF, DKIM, the name of our address, the right to send as this sender.
        (_, Some((7, 8..=12 | 20..=29 | 60))) => About::Unclear,
        // Policy about this content; about a recipient it may be that we may not relay at all. 4.7.1 is greylisting.
        (500.., Some((7, _))) if !is_content => About::Unclear,
        (450 | 451 | 550 | 551 | 553 | 554 | 556, _) => About::Email,
        _ => About::Unclear,
    }
}

impl From<Reply> for Cause {
    fn from(reply: Reply) -> Self {
        Self::Said(reply)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::Encryption => "TLS",
            Self::Login => "AUTH",
            Self::Sender => "MAIL",
            Self::Recipient => "RCPT",
            Self::Data => "DATA",
            Self::Content => "final dot",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(stage: Stage, reply: &str) -> &'static str {
        let (code, text) = reply.split_once(' ').unwrap_or((reply, ""));
        let reply = Reply { code: code.parse().unwrap(), lines: vec![text.to_owned()] };
        match stage.fault(reply).judge(true) {
            SendError::Unreachable(_) => "server",
            SendError::Unclear(_) => "unclear",
            SendError::Refused(_) => "refused",
            SendError::Rejected(_) => "rejected",
            SendError::NoRecipient(_) => "no recipient",
            SendError::Invalid(_) => "invalid",
            SendError::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn what_is_said_before_the_recipient_is_named_is_about_us() {
        for stage in [Stage::Connect, Stage::Greeting, Stage::Hello, Stage::Encryption, Stage::Login, Stage::Sender] {
            for reply in ["421", "451 try again", "550 5.7.1 no", "554 5.1.1 odd", "552 quota"] {
                assert_eq!(kind(stage, reply), "server", "{stage} {reply}");
            }
        }
    }

    #[test]
    fn what_is_said_of_the_recipient_or_the_content_is_told_by_its_codes() {
        let cases = [
            (Stage::Recipient, "550 no such mailbox", "rejected"),
            (Stage::Recipient, "554 no", "rejected"),
            (Stage::Recipient, "550 5.1.1 no such user", "no recipient"),
            (Stage::Recipient, "550 5.2.1 mailbox disabled", "no recipient"),
            (Stage::Content, "550 5.1.1 no such user", "rejected"),
            (Stage::Recipient, "550 5.4.1 recipient address rejected", "rejected"),
            (Stage::Recipient, "450 4.7.1 greylisted", "refused"),
            (Stage::Recipient, "451 busy", "refused"),
            (Stage::Recipient, "454 4.7.1 relay access denied", "unclear"),
            (Stage::Recipient, "554 5.7.1 relay access denied", "unclear"),
            (Stage::Recipient, "550 5.1.8 bad sender", "unclear"),
            (Stage::Recipient, "550 5.4.5 daily quota", "unclear"),
            (Stage::Recipient, "552 5.2.2 over quota", "unclear"),
            (Stage::Recipient, "452 4.3.1 disk full", "unclear"),
            (Stage::Recipient, "421 4.3.2 going down", "unclear"),
            (Stage::Recipient, "503 5.5.1 sequence", "unclear"),
            (Stage::Data, "554 5.5.1 no valid recipients", "unclear"),
            (Stage::Content, "554 5.7.1 spam", "rejected"),
            (Stage::Content, "550 5.6.0 malformed", "rejected"),
            (Stage::Content, "552 5.3.4 too big", "rejected"),
            (Stage::Content, "550 5.7.26 unauthenticated", "unclear"),
            (Stage::Content, "550 5.4.5 daily quota", "unclear"),
            (Stage::Content, "451 local error", "refused"),
            (Stage::Content, "421 shutting down", "unclear"),
        ];
        for (stage, reply, expected) in cases {
            assert_eq!(kind(stage, reply), expected, "{stage} {reply}");
        }
    }

    #[test]
    fn no_answer_after_the_content_is_an_unknown_outcome() {
        assert!(matches!(Stage::Content.fault(Cause::Silent).judge(true), SendError::Unknown(_)));
        assert!(matches!(Stage::Data.fault(Cause::Silent).judge(true), SendError::Unclear(_)));
        assert!(matches!(Stage::Sender.fault(Cause::Silent).judge(false), SendError::Unclear(_)));
    }
}
