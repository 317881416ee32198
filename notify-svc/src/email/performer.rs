//! What a queue of effects wants of emails: how one is sent, what the answer means, and what is written when it was taken.

use std::sync::Arc;

use anyhow::Context;
use effect::{Attempt, Effect, Hold, Perform};
use runtime::mysql::Transaction;
use runtime::telemetry::chain;
use schema::ids::NotificationId;

use super::Mailer;
use super::message::Email;
use super::send_error::SendError;
use crate::store::notifications;

/// Sends emails. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct Emails {
    /// Takes the emails away.
    pub mailer: Arc<Mailer>,
}

impl Perform for Emails {
    type Outcome = ();
    type Conclusion = ();

    async fn perform(&self, effect: &Effect, hold: &Hold) -> Attempt<()> {
        let sent = match Email::of(effect) {
            Ok(email) => self.mailer.send(&email, hold).await,
            Err(error) => Err(SendError::Invalid(error)),
        };
        let Err(error) = sent else { return Attempt::Done(()) };
        // The next emails go by new connections, so that they show how the server is.
        if !matches!(error, SendError::Refused(_) | SendError::Invalid(_)) {
            self.mailer.forget_connections();
        }
        let reason = chain(&error);
        match error {
            SendError::Unreachable(_) => Attempt::PutOff { reason, retry_after: None },
            SendError::Unclear(_) => Attempt::Unclear(reason),
            SendError::Unknown(_) => Attempt::Unknown(reason),
            SendError::Refused(_) => Attempt::Failed(reason),
            SendError::Rejected(_) => Attempt::Rejected(reason),
            SendError::Invalid(_) => Attempt::Dead(reason),
        }
    }

    /// The recipient: an address that fails at one email is likely to fail at the next.
    fn party(&self, effect: &Effect) -> String {
        effect.body["recipient"].as_str().unwrap_or_default().to_owned()
    }

    async fn conclude(&self, tx: &mut Transaction, effect: &Effect, (): &()) -> anyhow::Result<()> {
        notifications::sent(tx, NotificationId(effect.id.0)).await.context("recording that an email was sent")
    }

    fn committed(&self, (): ()) {}
}
