//! What a queue of effects wants of emails: how one is sent, what the answer means, and what is written when it was taken.

use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::Context;
use effect::{Attempt, Effect, Hold, Perform};
use runtime::mysql::{Pool, Transaction};
use runtime::operator::decision::By;
use runtime::telemetry::chain;
use schema::ids::NotificationId;

use super::Mailer;
use super::message::Email;
use super::recipients::{LookupError, Recipient, Recipients};
use super::send_error::SendError;
use crate::store::recipient_mails::{self, Booking, Place};
use crate::store::{notifications, suppression};
use crate::suppression::{Cause, HeldBack, ITSELF};

/// Sends emails. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct Emails {
    /// Knows who gets nothing.
    pub pool: Pool,
    /// Knows to whom an email goes.
    pub recipients: Recipients,
    /// What a recipient gets within an hour of the clock; none is no bound.
    pub mails_max: Option<NonZeroU32>,
    /// Takes the emails away.
    pub mailer: Arc<Mailer>,
}

/// How an email ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The transport took it.
    Sent,
    /// Its recipient gets nothing.
    HeldBack(HeldBack),
    /// There is no such recipient, as the server said.
    Bounced {
        /// The address.
        address: String,
        /// What the server said.
        reason: String,
    },
}

/// Whether an address gets an email now.
enum Admission {
    /// It does, and the place is taken, if there is a bound.
    Open(Option<Place>),
    /// It does not: the attempt ends so.
    Closed(Attempt<Outcome>),
}

impl Emails {
    /// Sends an email to whoever is not suppressed. One that is suppressed, or erased, from now on may be under way.
    async fn send(&self, email: &Email, hold: &Hold) -> Attempt<Outcome> {
        let address = match self.recipients.of(email.order_id).await {
            Ok(Recipient::Address(address)) => address,
            Ok(Recipient::Erased) => return held_back(HeldBack::Erased),
            Err(error) => return unknown_recipient(&error),
        };
        // An address that fails at one email is likely to fail at the next.
        if let Some(left) = hold.is_of(&address) {
            return Attempt::PassedOver(left);
        }
        let place = match self.admit(&address).await {
            Ok(Admission::Open(place)) => place,
            Ok(Admission::Closed(attempt)) => return attempt,
            Err(error) => return Attempt::PutOff { reason: chain(&error), retry_after: None },
        };
        match self.mailer.send(email, &address, hold).await {
            Ok(()) => Attempt::Done(Outcome::Sent),
            Err(error) => {
                if let (Some(place), true) = (place, error.is_not_sent()) {
                    self.give_back(&address, place).await;
                }
                self.failed(&error, address)
            }
        }
    }

    /// Whether this address gets an email now. Its place is taken before it is sent: whoever dies from here on, or is given up, keeps it
    /// until the hour is over.
    async fn admit(&self, address: &str) -> sqlx::Result<Admission> {
        if let Some(cause) = suppression::cause(&self.pool, address).await? {
            return Ok(Admission::Closed(held_back(cause.into())));
        }
        let Some(mails_max) = self.mails_max else { return Ok(Admission::Open(None)) };
        Ok(match recipient_mails::take(&self.pool, address, mails_max.get()).await? {
            Booking::Taken(place) => Admission::Open(Some(place)),
            Booking::Full(delay) => {
                let reason = format!("the recipient gets at most {mails_max} emails within an hour of the clock");
                Admission::Closed(Attempt::Waits { reason, delay })
            }
        })
    }

    /// Without it the recipient gets one email less within this hour, and no more than the bound says.
    async fn give_back(&self, address: &str, place: Place) {
        if let Err(error) = recipient_mails::give_back(&self.pool, address, place).await {
            tracing::warn!(error = chain(&error), "an email that did not leave counts until the hour is over");
        }
    }

    fn failed(&self, error: &SendError, address: String) -> Attempt<Outcome> {
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
            SendError::NoRecipient(_) => {
                let outcome = Some(Outcome::Bounced { address, reason: reason.clone() });
                Attempt::Rejected { reason, outcome }
            }
            SendError::Invalid(_) => Attempt::Dead(reason),
        }
    }
}

fn held_back(cause: HeldBack) -> Attempt<Outcome> {
    Attempt::Withdrawn { reason: cause.told(), outcome: Outcome::HeldBack(cause) }
}

fn unknown_recipient(error: &LookupError) -> Attempt<Outcome> {
    let reason = chain(error);
    match error {
        LookupError::Away { retry_after, .. } => Attempt::PutOff { reason, retry_after: *retry_after },
        LookupError::NoOrder => Attempt::Failed(reason),
    }
}

impl Perform for Emails {
    type Outcome = Outcome;
    type Conclusion = ();

    async fn perform(&self, effect: &Effect, hold: &Hold) -> Attempt<Outcome> {
        match Email::of(effect) {
            Ok(email) => self.send(&email, hold).await,
            Err(error) => Attempt::Dead(chain(&SendError::Invalid(error))),
        }
    }

    async fn conclude(&self, tx: &mut Transaction, effect: &Effect, outcome: &Outcome) -> anyhow::Result<()> {
        let id = NotificationId(effect.id.0);
        match outcome {
            Outcome::Sent => notifications::sent(tx, id).await.context("recording that an email was sent"),
            Outcome::HeldBack(cause) => {
                notifications::suppressed(tx, id, *cause).await.context("recording that an email was held back")
            }
            Outcome::Bounced { address, reason } => {
                let by = By { actor: ITSELF, reason };
                // A duplicate was added meanwhile, by a person, the webhook or another email.
                suppression::add(tx, address, Cause::Bounce, by).await.context("suppressing an address")?;
                Ok(())
            }
        }
    }

    fn committed(&self, (): ()) {}
}
