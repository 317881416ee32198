//! Stripe: PaymentIntents that are opened first and confirmed when their id is recorded, and Refunds of all that was taken.
//!
//! Neither confirming nor refunding relies on an idempotency key, which Stripe forgets after 24 hours and whose stored 5xx it
//! repeats until then. Stripe lets an intent succeed once and gives back no more than was taken: that is relied on, and that
//! an intent and its refunds can be read right after they were written. Search can't be, and lists have no filter by our
//! reference. A customer is not there to be asked: a card that wants that is declined.

mod client;
mod resource;
mod verdict;

use anyhow::anyhow;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::config::StripeSettings;
use super::error::ProviderError;
use super::terms::{Attempt, Charge, ChargeOutcome, IntentId, Refund, RefundOutcome, Standing};
use client::{Client, Request};
use resource::{Intent, Refunds};
use verdict::{Refusal, read};

/// An account at Stripe. A handle: clone it.
#[derive(Clone, Debug)]
pub struct Stripe {
    client: Client,
    payment_method: String,
}

impl Stripe {
    pub(super) fn new(settings: &StripeSettings<'_>) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(settings)?, payment_method: settings.payment_method.to_owned() })
    }

    pub(super) async fn prepare(&self, charge: &Charge) -> Result<IntentId, ProviderError> {
        let form = [
            ("amount", charge.amount_minor.to_string()),
            ("currency", charge.currency.as_str().to_ascii_lowercase()),
            ("payment_method", self.payment_method.clone()),
            ("payment_method_types[]", "card".to_owned()), // others may send the customer to another page
            ("metadata[payment_id]", charge.reference.to_string()),
            ("metadata[order_id]", charge.order_id.to_string()),
        ];
        let request = Request::post("/v1/payment_intents".to_owned()).form(&form);
        let intent: Intent =
            self.create(request, &charge.key, self.client.deadline()).await.map_err(|refusal| match refusal {
                Refusal::Fault(fault) => fault,
                Refusal::Declined(decline) => ProviderError::Invalid { code: decline.code, message: decline.message },
            })?;
        Ok(intent.id)
    }

    pub(super) async fn charge(&self, id: &IntentId, attempt: Attempt) -> Result<ChargeOutcome, ProviderError> {
        let until = self.client.deadline();
        if attempt == Attempt::Repeat
            && let Some(outcome) = self.ended(id, until).await?
        {
            return Ok(outcome);
        }
        self.change(id, "confirm", until).await
    }

    pub(super) async fn withdraw(&self, id: &IntentId) -> Result<ChargeOutcome, ProviderError> {
        self.change(id, "cancel", self.client.deadline()).await
    }

    pub(super) async fn find(&self, id: &IntentId) -> Result<Standing, ProviderError> {
        self.standing(id, self.client.deadline()).await
    }

    pub(super) async fn refund(&self, refund: &Refund, attempt: Attempt) -> Result<RefundOutcome, ProviderError> {
        let until = self.client.deadline();
        if attempt == Attempt::Repeat
            && let Some(outcome) = self.own_refund(refund, until).await?
        {
            return Ok(outcome);
        }
        let form = [
            ("payment_intent", refund.intent.to_string()), // without an amount: all of it
            ("metadata[payment_id]", refund.reference.to_string()),
            ("metadata[order_id]", refund.order_id.to_string()),
        ];
        let request = Request::post("/v1/refunds".to_owned()).form(&form);
        match self.create::<resource::Refund>(request, &refund.key, until).await {
            Ok(refund) => Ok(refund.outcome()),
            Err(Refusal::Declined(decline)) => Ok(RefundOutcome::Declined(decline)),
            // Perhaps because everything was given back before, by us or by a person.
            Err(Refusal::Fault(fault @ ProviderError::Invalid { .. })) => {
                let newest = self.refunds(&refund.intent, until).await?.data.into_iter().next();
                newest.map(resource::Refund::outcome).ok_or(fault)
            }
            Err(Refusal::Fault(fault)) => Err(fault),
        }
    }

    pub(super) async fn find_refund(&self, refund: &Refund) -> Result<Option<RefundOutcome>, ProviderError> {
        self.own_refund(refund, self.client.deadline()).await
    }

    /// Posts under a key. A stored 5xx is all that the key still gets: what it is about was looked up, and is harmless
    /// to ask for again without a key.
    async fn create<T: DeserializeOwned>(&self, request: Request, key: &str, until: Instant) -> Result<T, Refusal> {
        let ask = async |request: &Request| {
            self.client.ask(request, until).await.map_err(|fault| Refusal::Fault(fault.into()))
        };
        let answer = ask(&request.clone().key(key)).await?;
        if answer.is_replayed && answer.status.is_server_error() {
            return read(&ask(&request).await?);
        }
        read(&answer)
    }

    /// Has an intent end, in one way or another.
    async fn change(&self, id: &IntentId, verb: &str, until: Instant) -> Result<ChargeOutcome, ProviderError> {
        let answer = self.client.ask(&Request::post(format!("/v1/payment_intents/{id}/{verb}")), until).await?;
        match read::<Intent>(&answer) {
            Ok(intent) => {
                let outcome = ending(intent.standing()?)?;
                outcome.ok_or_else(|| ProviderError::Unknown(anyhow!("intent {id} is still open after {verb}")))
            }
            Err(Refusal::Declined(decline)) => Ok(ChargeOutcome::Declined(decline)),
            // Perhaps because it has ended before.
            Err(Refusal::Fault(fault @ ProviderError::Invalid { .. })) => self.ended(id, until).await?.ok_or(fault),
            Err(Refusal::Fault(fault)) => Err(fault),
        }
    }

    async fn ended(&self, id: &IntentId, until: Instant) -> Result<Option<ChargeOutcome>, ProviderError> {
        ending(self.standing(id, until).await?)
    }

    async fn standing(&self, id: &IntentId, until: Instant) -> Result<Standing, ProviderError> {
        self.look_up::<Intent>(format!("/v1/payment_intents/{id}"), until).await?.standing()
    }

    async fn own_refund(&self, refund: &Refund, until: Instant) -> Result<Option<RefundOutcome>, ProviderError> {
        let found = self.refunds(&refund.intent, until).await?.data;
        Ok(found.into_iter().find(|found| found.is_of(refund.reference)).map(resource::Refund::outcome))
    }

    async fn refunds(&self, intent: &IntentId, until: Instant) -> Result<Refunds, ProviderError> {
        self.look_up(format!("/v1/refunds?payment_intent={intent}&limit=100"), until).await
    }

    /// A question takes no money: one that is not answered leaves nothing open.
    async fn look_up<T: DeserializeOwned>(&self, path: String, until: Instant) -> Result<T, ProviderError> {
        let answer = self.client.ask(&Request::get(path), until).await.map_err(ProviderError::from);
        let read = answer.and_then(|answer| {
            read(&answer).map_err(|refusal| match refusal {
                Refusal::Fault(fault) => fault,
                Refusal::Declined(decline) => {
                    ProviderError::Refused(anyhow!("a question was declined: {}", decline.code))
                }
            })
        });
        read.map_err(|fault| match fault {
            ProviderError::Unknown(error) => ProviderError::Unreachable(error),
            other => other,
        })
    }
}

/// How it ended, if it did. One that Stripe is still at is waited for.
fn ending(standing: Standing) -> Result<Option<ChargeOutcome>, ProviderError> {
    match standing {
        Standing::Open => Ok(None),
        Standing::UnderWay => Err(ProviderError::Throttled { retry_after: None }),
        Standing::Charged { provider_id } => Ok(Some(ChargeOutcome::Charged { provider_id })),
        Standing::Declined(decline) => Ok(Some(ChargeOutcome::Declined(decline))),
        Standing::Withdrawn => Ok(Some(ChargeOutcome::Withdrawn)),
    }
}
