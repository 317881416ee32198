//! Emails leave the database here: at least once, with a Message-ID that a repeat keeps.
//!
//! [`Queue`] decides when an email is tried and what an answer means; [`Mailer`] takes it away. A fault of the
//! transport is nobody's attempt: the queue pauses instead.

mod config;
mod file;
mod message;
mod queue;
mod rate;
mod smtp;

use std::time::Duration;

use anyhow::Context;
use lettre::message::Mailbox;

use crate::store::email_queue::DueEmail;

pub use config::{EmailConfig, EmailTransport, Transport};
pub use queue::Queue;
pub use rate::Rate;

/// How long one email may take; its lease is longer.
pub const SEND_TIME_MAX: Duration = Duration::from_secs(10);

/// Where emails go.
#[derive(Debug)]
pub enum Mailer {
    /// To an SMTP server.
    Smtp(smtp::Smtp, Mailbox),
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
    /// The transport was asked and said no to this email; later it may say yes.
    #[error("email was refused")]
    Refused(#[source] anyhow::Error),
    /// The transport said no to this email for good: RFC 5321 forbids to repeat it as it is.
    #[error("email was rejected")]
    Rejected(#[source] anyhow::Error),
    /// No transport will ever take it.
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
            Transport::Smtp { url, ca_file, from } => {
                let server = smtp::Server::parse(url).map_err(anyhow::Error::msg)?;
                Self::Smtp(smtp::Smtp::new(server, ca_file)?, from.clone())
            }
            Transport::File { dir, from } => {
                let folder = file::Folder::open(dir).await;
                let folder = folder.with_context(|| format!("EMAIL_DIR {} is not writable", dir.display()))?;
                Self::File(folder, from.clone())
            }
            Transport::Log => Self::Log,
        })
    }

    /// Has the transport take an email, within [`SEND_TIME_MAX`].
    ///
    /// # Errors
    /// See [`SendError`]. After a timeout the email may have been taken all the same.
    pub async fn send(&self, email: &DueEmail) -> Result<(), SendError> {
        let sending = async {
            match self {
                Self::Smtp(server, from) => server.send(message::compose(email, from)?).await,
                Self::File(folder, from) => folder.write(email.id, &message::compose(email, from)?.formatted()).await,
                Self::Log => {
                    tracing::info!(notification.id = %email.id, order.id = %email.order_id, "email would be sent");
                    Ok(())
                }
            }
        };
        let sent = tokio::time::timeout(SEND_TIME_MAX, sending).await;
        sent.unwrap_or_else(|timeout| Err(SendError::Unreachable(timeout.into())))
    }
}
