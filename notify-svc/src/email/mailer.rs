//! Takes emails away: to a server, into a folder, or nowhere.

use anyhow::Context;
use effect::Hold;
use lettre::message::Mailbox;

use super::config::Transport;
use super::message::Email;
use super::send_error::SendError;
use super::{file, message, smtp};

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

    /// Has the transport take an email to a recipient that its sender holds; each step has its time limit. May be dropped.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, email: &Email, recipient: &str, hold: &Hold) -> Result<(), SendError> {
        match self {
            Self::Smtp(server, from) => server.send(&message::compose(email, recipient, from)?, hold).await,
            Self::File(folder, from) => {
                folder.write(email.id, &message::compose(email, recipient, from)?.formatted()).await
            }
            Self::Log => {
                tracing::info!(notification.id = %email.id, order.id = %email.order_id, "email would be sent");
                Ok(())
            }
        }
    }

    /// After a fault: what was kept from before says nothing about how the server is now.
    pub(super) fn forget_connections(&self) {
        if let Self::Smtp(server, _) = self {
            server.forget_connections();
        }
    }
}
