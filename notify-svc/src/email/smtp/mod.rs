//! Emails to an SMTP server. Each dialogue owns its connection; only one that ended well is used again.
//!
//! A reply that comes late, in its middle or unasked for is never read by another email: whatever went wrong in a
//! dialogue, or was given up, closes its connection. Leaves out what an answer means for the queue.

mod dialogue;
mod fault;
mod reply;
mod server;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use effect::Hold;
use lettre::Message;

use self::dialogue::{Dialogue, Outgoing, Terms};
use self::fault::{Fault, Stage};
pub(super) use self::server::Server;
use super::config::SmtpSettings;
use super::send_error::SendError;

const KEPT_MAX: usize = 8;
const KEPT_TIME_MAX: Duration = Duration::from_secs(30);

/// A client of one SMTP server.
pub struct Smtp {
    terms: Terms,
    kept: Mutex<Kept>,
}

/// Connections that may be used again.
#[derive(Default)]
struct Kept {
    /// Dialogues that ended well, the last used last.
    dialogues: Vec<(Dialogue, Instant)>,
    /// What was opened before is not kept.
    forgotten_at: Option<Instant>,
}

impl std::fmt::Debug for Smtp {
    /// Without the terms: they have the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp").finish_non_exhaustive()
    }
}

impl Smtp {
    /// Connects when first used.
    ///
    /// # Errors
    /// If the URL is malformed or the authorities can't be read any more; the settings have checked both.
    pub(super) fn new(settings: SmtpSettings<'_>) -> anyhow::Result<Self> {
        let server = Server::parse(settings.url).map_err(anyhow::Error::msg)?;
        let terms = Terms {
            trust: server::trust(settings.ca_file)?,
            server,
            url: settings.url.clone(),
            ehlo_name: settings.ehlo_name.map(str::to_owned),
            reply_time_max: settings.reply_time_max,
            content_time_max: settings.content_time_max,
        };
        Ok(Self { terms, kept: Mutex::default() })
    }

    /// Has the server take an email. May be dropped: that closes the connection.
    pub(super) async fn send(&self, message: &Message, hold: &Hold) -> Result<(), SendError> {
        let envelope = message.envelope();
        let email = Outgoing {
            sender: envelope.from().map(ToString::to_string).unwrap_or_default(),
            recipient: envelope.to().first().map(ToString::to_string).unwrap_or_default(),
            content: message.formatted(),
        };
        let taken = match self.by_a_kept_one(&email, hold).await {
            Some(taken) => taken,
            None => self.by_a_new_one(&email, hold).await,
        };
        match taken {
            Ok(dialogue) => {
                let mut kept = self.kept();
                let is_forgotten = kept.forgotten_at.is_some_and(|at| dialogue.opened_at() <= at);
                if kept.dialogues.len() < KEPT_MAX && !is_forgotten {
                    kept.dialogues.push((dialogue, Instant::now()));
                }
                Ok(())
            }
            Err(fault) => Err(fault.judge(email.is_plain())),
        }
    }

    /// None if there is no connection any more that takes a MAIL command; the recipient was not named then.
    async fn by_a_kept_one(&self, email: &Outgoing, hold: &Hold) -> Option<Result<Dialogue, Fault>> {
        let dialogue = self.take()?;
        match dialogue.send(&self.terms, email, hold).await {
            // It may have been closed for being idle, or have had its share of emails.
            Err(fault) if fault.stage <= Stage::Sender => None,
            taken => Some(taken),
        }
    }

    async fn by_a_new_one(&self, email: &Outgoing, hold: &Hold) -> Result<Dialogue, Fault> {
        let dialogue = Dialogue::open(&self.terms).await?;
        dialogue.send(&self.terms, email, hold).await
    }

    fn take(&self) -> Option<Dialogue> {
        let mut kept = self.kept();
        kept.dialogues.retain(|(_, since)| since.elapsed() < KEPT_TIME_MAX);
        while let Some((mut dialogue, _)) = kept.dialogues.pop() {
            if dialogue.is_usable() {
                return Some(dialogue);
            }
        }
        None
    }

    /// Has the next emails go by new connections, so that they show how the server is.
    pub(super) fn forget_connections(&self) {
        let mut kept = self.kept();
        kept.dialogues.clear();
        kept.forgotten_at = Some(Instant::now());
    }

    /// What is under the lock is whole between any two statements.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
