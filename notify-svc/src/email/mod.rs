//! Emails leave the database here: at least once, with a Message-ID that a repeat keeps.
//!
//! [`Queue`] decides when an email is tried and what an answer means; [`Mailer`] takes it away. A fault of the
//! transport is nobody's attempt: the queue pauses instead. Where nobody can say whose fault it is, other emails decide.

mod config;
mod delivery;
mod file;
mod hold;
mod message;
mod queue;
mod rate;
mod smtp;
mod standing;

use anyhow::Context;
use lettre::message::Mailbox;

use crate::store::email_queue::DueEmail;

pub use config::{EmailConfig, EmailTransport, SmtpSettings, Transport};
pub use delivery::STOP_TIME_MAX;
pub use hold::Hold;
pub use queue::{Queue, SLOW_MAX, UNDER_WAY_MAX};
pub use rate::Rate;

/// Where emails go.
#[derive(Debug)]
pub enum Mailer {
    /// To an SMTP server.
    Smtp(Box<smtp::Smtp>, Mailbox),
    /// Into a folder, one file each.
    File(file::Folder, Mailbox),
    /// Nowhere; a log line says so.
    Log,
}

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
    /// It can't even be composed: no transport was asked.
    #[error("email can't be composed")]
    Invalid(#[source] anyhow::Error),
}

impl Mailer {
    /// Opens the chosen transport. An SMTP server need not be up yet; a folder must be writable.
    ///
    /// # Errors
    /// What is wrong with the setting.
    pub async fn open(transport: Transport<'_>) -> anyhow::Result<Self> {
        Ok(match transport {
            Transport::Smtp(settings) => Self::Smtp(Box::new(smtp::Smtp::new(settings)?), settings.from.clone()),
            Transport::File { dir, from } => {
                let folder = file::Folder::open(dir).await;
                let folder = folder.with_context(|| format!("EMAIL_DIR {} is not writable", dir.display()))?;
                Self::File(folder, from.clone())
            }
            Transport::Log => Self::Log,
        })
    }

    /// Has the transport take an email that its sender holds; each step has its time limit. May be dropped.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, email: &DueEmail, hold: &Hold) -> Result<(), SendError> {
        match self {
            Self::Smtp(server, from) => server.send(&message::compose(email, from)?, hold).await,
            Self::File(folder, from) => folder.write(email.id, &message::compose(email, from)?.formatted()).await,
            Self::Log => {
                tracing::info!(notification.id = %email.id, order.id = %email.order_id, "email would be sent");
                Ok(())
            }
        }
    }

    /// After a fault: what was kept from before says nothing about how the server is now.
    fn forget_connections(&self) {
        if let Self::Smtp(server, _) = self {
            server.forget_connections();
        }
    }
}
