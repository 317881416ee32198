//! Emails leave the database here: at least once, with a Message-ID that a repeat keeps.
//!
//! [`Queue`] decides when an email is tried and what an answer means; [`Mailer`] takes it away. A fault of the
//! transport is nobody's attempt: the queue pauses instead. Where nobody can say whose fault it is, other emails decide.

mod config;
mod delivery;
mod file;
mod gauges;
mod hold;
mod mailer;
mod message;
mod queue;
mod rate;
mod send_error;
mod sender;
mod smtp;
mod standing;

pub use config::{EmailConfig, EmailTransport, SmtpSettings, Transport};
pub use delivery::STOP_TIME_MAX;
pub use hold::Hold;
pub use mailer::Mailer;
pub use queue::SLOW_MAX;
pub use rate::Rate;
pub use send_error::SendError;
pub use sender::{Queue, UNDER_WAY_MAX};
