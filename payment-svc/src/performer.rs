//! What is asked of the provider, and what its answers mean for the payment.
//!
//! The charge takes two steps: the provider's intent is recorded in our database before money moves, and an intent can be paid
//! once. An attempt that finds the order cancelled meanwhile ends the intent instead of paying it.

use std::num::NonZeroU64;

use anyhow::Context;
use effect::{Attempt, Effect, Hold, Perform, Wake};
use outbox::{NewEvent, Outbox};
use runtime::mysql::{Pool, Receipt, Transaction};
use runtime::telemetry::chain;
use schema::ids::PaymentId;

use crate::advance::{CHARGE, REFUND, Said, advance};
use crate::payment::{Fact, State};
use crate::provider::{self, Charge, ChargeOutcome, IntentId, Provider, ProviderError, Refund, RefundOutcome};
use crate::store::payments::{self, Payment};

/// Asks the provider. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct Performer {
    /// The database `payments`.
    pub pool: Pool,
    /// Takes money and gives it back.
    pub provider: Provider,
    /// Where events are appended.
    pub outbox: Outbox,
    /// Woken when a refund was enqueued.
    pub wake: Wake,
}

/// What the provider answered for good.
#[derive(Debug)]
pub struct Answer {
    fact: Fact,
    provider_ref: Option<String>,
    decline_reason: Option<String>,
}

/// Why an attempt ended without an answer for good.
#[derive(Debug)]
enum Fault {
    Provider(ProviderError),
    /// Our database is away: nothing that moves money was sent.
    Database(sqlx::Error),
    /// What we know of the payment makes no sense.
    Nonsense(String),
}

impl Perform for Performer {
    type Outcome = Answer;
    type Conclusion = Option<NewEvent>;

    async fn perform(&self, effect: &Effect, hold: &Hold) -> Attempt<Answer> {
        if !hold.let_go().await {
            return Attempt::PutOff { reason: "another process has it".to_owned(), retry_after: None };
        }
        let answered = match effect.kind.as_str() {
            CHARGE => self.charge(effect).await,
            REFUND => self.refund(effect).await,
            kind => Err(Fault::Nonsense(format!("there is no effect of the kind {kind}"))),
        };
        answered.map_or_else(Fault::attempt, Attempt::Done)
    }

    async fn conclude(
        &self,
        tx: &mut Transaction,
        effect: &Effect,
        answer: &Answer,
    ) -> anyhow::Result<Option<NewEvent>> {
        let id: PaymentId = effect.subject.parse().context("the subject of an effect is the id of a payment")?;
        let payment = payments::lock(tx, id).await.context("locking a payment")?;
        let said =
            Said { provider_ref: answer.provider_ref.as_deref(), decline_reason: answer.decline_reason.as_deref() };
        advance(tx, &self.outbox, &payment, answer.fact, said).await
    }

    fn committed(&self, event: Option<NewEvent>) {
        if let Some(event) = event {
            self.outbox.committed(&event);
        }
        self.wake.hint();
    }
}

impl Performer {
    async fn payment(&self, effect: &Effect) -> Result<Payment, Fault> {
        let id = effect.subject.parse::<PaymentId>().map_err(|error| Fault::Nonsense(error.to_string()))?;
        let found = payments::find(&self.pool, id).await?;
        found.ok_or_else(|| Fault::Nonsense("there is no such payment".to_owned()))
    }

    async fn charge(&self, effect: &Effect) -> Result<Answer, Fault> {
        let payment = self.payment(effect).await?;
        let intent = intent_of(&payment)?;
        match (payment.state, &intent) {
            (State::Due, _) => {}
            (State::Cancelling, Some(intent)) => return Ok(self.provider.withdraw(intent).await?.into()),
            // It is at an end that somebody else has written: nothing is taken any more.
            _ => return Ok(Answer::of(Fact::NeverCharged)),
        }
        let product = effect.body["product"].as_str().unwrap_or_default().to_owned();
        let charge = Charge {
            key: effect.id.to_string(),
            reference: payment.id.0,
            order_id: payment.order_id,
            amount_minor: NonZeroU64::new(payment.amount_minor).ok_or_else(|| nonsense("the amount is 0"))?,
            currency: payment.currency.parse().map_err(|_| nonsense("the currency is none"))?,
            product,
        };
        let (intent, attempt) = match intent {
            Some(intent) => (intent, provider::Attempt::Repeat),
            None => self.prepare(&payment, &charge).await?,
        };
        Ok(self.provider.charge(&intent, attempt).await?.into())
    }

    /// Opens an intent and records it: the money of no other is ever taken.
    async fn prepare(&self, payment: &Payment, charge: &Charge) -> Result<(IntentId, provider::Attempt), Fault> {
        let opened = self.provider.prepare(charge).await?;
        if payments::record_intent(&self.pool, payment.id, opened.as_str()).await? == Receipt::First {
            return Ok((opened, provider::Attempt::First));
        }
        let found = payments::find(&self.pool, payment.id).await?;
        let recorded = found.as_ref().map(intent_of).transpose()?.flatten();
        Ok((recorded.ok_or_else(|| nonsense("there is no such payment"))?, provider::Attempt::Repeat))
    }

    async fn refund(&self, effect: &Effect) -> Result<Answer, Fault> {
        let payment = self.payment(effect).await?;
        let intent = intent_of(&payment)?.ok_or_else(|| nonsense("there is no intent that was charged"))?;
        let refund = Refund { key: effect.id.to_string(), reference: payment.id.0, order_id: payment.order_id, intent };
        let is_first = !effect.is_unknown && effect.attempts == 0;
        let attempt = if is_first { provider::Attempt::First } else { provider::Attempt::Repeat };
        match self.provider.refund(&refund, attempt).await? {
            RefundOutcome::Refunded { .. } => Ok(Answer::of(Fact::Refunded)),
            RefundOutcome::Declined(decline) => {
                tracing::error!(code = decline.code, "the provider gives no money back; see the verb `payment list`");
                Ok(Answer { decline_reason: Some(decline.code), ..Answer::of(Fact::RefundDeclined) })
            }
        }
    }
}

fn intent_of(payment: &Payment) -> Result<Option<IntentId>, Fault> {
    let intent = payment.intent.as_deref().map(str::parse).transpose();
    intent.map_err(|_| nonsense("the recorded intent is none of the provider's"))
}

fn nonsense(what: &str) -> Fault {
    Fault::Nonsense(what.to_owned())
}

impl Answer {
    fn of(fact: Fact) -> Self {
        Self { fact, provider_ref: None, decline_reason: None }
    }
}

impl From<ChargeOutcome> for Answer {
    fn from(outcome: ChargeOutcome) -> Self {
        match outcome {
            ChargeOutcome::Charged { provider_id } => {
                Self { provider_ref: Some(provider_id), ..Self::of(Fact::Charged) }
            }
            ChargeOutcome::Declined(decline) => Self { decline_reason: Some(decline.code), ..Self::of(Fact::Declined) },
            ChargeOutcome::Withdrawn => Self::of(Fact::NeverCharged),
        }
    }
}

impl From<ProviderError> for Fault {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Fault {
    /// What it means for the effect.
    fn attempt(self) -> Attempt<Answer> {
        let put_off = |reason| Attempt::PutOff { reason, retry_after: None };
        match self {
            Self::Provider(ProviderError::Unreachable(error)) => put_off(format!("{error:#}")),
            Self::Provider(ProviderError::Refused(error)) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the provider wants nothing from us: see key, account and settings"
                );
                put_off(format!("{error:#}"))
            }
            Self::Provider(ProviderError::Throttled { retry_after }) => {
                Attempt::PutOff { reason: "the provider throttles us".to_owned(), retry_after }
            }
            Self::Provider(ProviderError::Unknown(error)) => Attempt::Unknown(format!("{error:#}")),
            Self::Provider(ProviderError::Invalid { code, message }) => Attempt::Dead(format!("{code}: {message}")),
            Self::Database(error) => put_off(chain(&error)),
            Self::Nonsense(what) => Attempt::Dead(what),
        }
    }
}
