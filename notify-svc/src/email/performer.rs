//! What a queue of effects wants of emails: how one is sent, what the answer means, and what is written when it was taken.

use std::sync::Arc;

use anyhow::Context;
use effect::{Attempt, Effect, Hold, Perform};
use runtime::mysql::{Pool, Transaction};
use runtime::operator::decision::By;
use runtime::telemetry::chain;
use schema::ids::NotificationId;

use super::Mailer;
use super::message::Email;
use super::send_error::SendError;
use crate::store::{notifications, suppression};
use crate::suppression::{Cause, ITSELF};

/// Sends emails. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct Emails {
    /// Knows who gets nothing.
    pub pool: Pool,
    /// Takes the emails away.
    pub mailer: Arc<Mailer>,
}

/// How an email ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The transport took it.
    Sent,
    /// Its recipient gets nothing.
    Suppressed(Cause),
    /// There is no such recipient, as the server said.
    Bounced(String),
}

impl Emails {
    /// Sends an email to whoever is not suppressed. One that is suppressed from now on may be under way.
    async fn send(&self, email: &Email, hold: &Hold) -> Attempt<Outcome> {
        match suppression::cause(&self.pool, &email.body.recipient).await {
            Ok(None) => {}
            Ok(Some(cause)) => return Attempt::Withdrawn { reason: cause.told(), outcome: Outcome::Suppressed(cause) },
            Err(error) => return Attempt::PutOff { reason: chain(&error), retry_after: None },
        }
        match self.mailer.send(email, hold).await {
            Ok(()) => Attempt::Done(Outcome::Sent),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &SendError) -> Attempt<Outcome> {
        // The next emails go by new connections, so that they show how the server is.
        if !matches!(error, SendError::Refused(_) | SendError::Invalid(_)) {
            self.mailer.forget_connections();
        }
        let reason = chain(error);
        match error {
            SendError::Unreachable(_) => Attempt::PutOff { reason, retry_after: None },
            SendError::Unclear(_) => Attempt::Unclear(reason),
            SendError::Unknown(_) => Attempt::Unknown(reason),
            SendError::Refused(_) => Attempt::Failed(reason),
            SendError::Rejected(_) => Attempt::Rejected { reason, outcome: None },
            SendError::NoRecipient(_) => Attempt::Rejected { outcome: Some(Outcome::Bounced(reason.clone())), reason },
            SendError::Invalid(_) => Attempt::Dead(reason),
        }
    }
}

impl Perform for Emails {
    type Outcome = Outcome;
    type Conclusion = ();

    async fn perform(&self, effect: &Effect, hold: &Hold) -> Attempt<Outcome> {
        match Email::of(effect) {
            Ok(email) => self.send(&email, hold).await,
            Err(error) => self.failed(&SendError::Invalid(error)),
        }
    }

    /// The recipient: an address that fails at one email is likely to fail at the next.
    fn party(&self, effect: &Effect) -> String {
        effect.body["recipient"].as_str().unwrap_or_default().to_owned()
    }

    async fn conclude(&self, tx: &mut Transaction, effect: &Effect, outcome: &Outcome) -> anyhow::Result<()> {
        let id = NotificationId(effect.id.0);
        match outcome {
            Outcome::Sent => notifications::sent(tx, id).await.context("recording that an email was sent"),
            Outcome::Suppressed(cause) => {
                notifications::suppressed(tx, id, *cause).await.context("recording that an email was held back")
            }
            Outcome::Bounced(reason) => {
                let by = By { actor: ITSELF, reason };
                // A duplicate was added meanwhile, by a person or by another email.
                suppression::add(tx, &self.party(effect), Cause::Bounce, by).await.context("suppressing an address")?;
                Ok(())
            }
        }
    }

    fn committed(&self, (): ()) {}
}
