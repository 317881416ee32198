//! Emails leave the database here: at least once, with a Message-ID that a repeat keeps.
//!
//! The crate `effect` decides when an email is tried, [`Mailer`] takes it away, and [`Emails`] says what the answer means. A
//! fault of the transport is nobody's attempt: the queue pauses instead. Where nobody can say whose fault it is, other emails
//! decide.

mod config;
mod file;
mod mailer;
mod message;
mod performer;
mod recipients;
mod send_error;
mod smtp;

pub use config::{EmailConfig, EmailTransport, SmtpSettings, Transport};
pub use mailer::Mailer;
pub use message::Email;
pub use performer::Emails;
pub use recipients::{OrdersConfig, Recipients};
pub use send_error::SendError;

/// The queue of the emails.
pub const QUEUE: &str = "emails";
