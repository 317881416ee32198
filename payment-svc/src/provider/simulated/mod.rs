//! A provider that moves no money: deterministic, with a ledger that outlives the process and [`magic`] products that fail.
//!
//! It is what a provider should be, and kinder than one: it never forgets an idempotency key.

mod books;
pub mod magic;

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use sha2::{Digest, Sha256};

use super::error::ProviderError;
use super::terms::{Attempt, Charge, ChargeOutcome, Decline, IntentId, Refund, RefundOutcome, Standing};
use books::{Books, Intent, Outcome};

pub use books::{LedgerEntry, ledger};

/// [`magic::SLOW`] and [`magic::REFUND_SLOW`].
const SLOW: Duration = Duration::from_secs(5);

/// The simulator answers within this time.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// [`magic::THROTTLED`].
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A folder that stands for a provider.
#[derive(Clone, Debug)]
pub struct Simulated {
    books: Books,
}

impl Simulated {
    pub(super) async fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self { books: Books::open(dir).await? })
    }

    /// The same key opens the same intent.
    pub(super) async fn prepare(&self, charge: &Charge) -> Result<IntentId, ProviderError> {
        if charge.product == magic::INVALID {
            let (code, message) = ("amount_invalid".to_owned(), "the simulator can't take this amount".to_owned());
            return Err(ProviderError::Invalid { code, message });
        }
        let hash = Sha256::digest(&charge.key);
        let name: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let id = format!("sim_{name}").parse().expect("it is made of letters and digits");
        self.books.enter(&id, charge).await.map_err(unwritten)?;
        Ok(id)
    }

    pub(super) async fn charge(&self, id: &IntentId, attempt: Attempt) -> Result<ChargeOutcome, ProviderError> {
        let product = self.intent(id)?.product;
        if attempt == Attempt::Repeat
            && let Some(outcome) = self.books.outcome(id).map_err(unwritten)?
        {
            return Ok(outcome.of_charge(id));
        }
        if let Some(fault) = fault_at_first(&product)
            && self.books.take_fault(id).await.map_err(unwritten)?
        {
            return Err(fault);
        }
        if product == magic::SLOW {
            tokio::time::sleep(SLOW).await;
        }
        let outcome = match product.as_str() {
            magic::DECLINED => Outcome::Declined(Decline::new("card_declined", "The simulated bank said no.")),
            _ => Outcome::Charged,
        };
        let outcome = self.books.conclude(id, outcome).await.map_err(unwritten)?;
        if product == magic::LOST && self.books.take_fault(id).await.map_err(unwritten)? {
            return Err(ProviderError::Unknown(anyhow!("the simulated answer was lost")));
        }
        Ok(outcome.of_charge(id))
    }

    pub(super) async fn withdraw(&self, id: &IntentId) -> Result<ChargeOutcome, ProviderError> {
        self.intent(id)?;
        let outcome = self.books.conclude(id, Outcome::Withdrawn).await.map_err(unwritten)?;
        Ok(outcome.of_charge(id))
    }

    pub(super) async fn find(&self, id: &IntentId) -> Result<Standing, ProviderError> {
        self.intent(id)?;
        let outcome = self.books.outcome(id).map_err(unwritten)?;
        Ok(outcome.map_or(Standing::Open, |outcome| outcome.standing(id)))
    }

    pub(super) async fn refund(&self, refund: &Refund, attempt: Attempt) -> Result<RefundOutcome, ProviderError> {
        let id = &refund.intent;
        let product = self.intent(id)?.product;
        if attempt == Attempt::Repeat
            && let Some(outcome) = self.find_refund(refund).await?
        {
            return Ok(outcome);
        }
        if !matches!(self.find(id).await?, Standing::Charged { .. }) {
            let (code, message) = ("charge_missing".to_owned(), "nothing was charged".to_owned());
            return Err(ProviderError::Invalid { code, message });
        }
        if product == magic::REFUND_SLOW {
            tokio::time::sleep(SLOW).await;
        }
        let outcome = match product.as_str() {
            magic::REFUND_DECLINED => Outcome::Declined(Decline::new("refund_declined", "The simulated bank said no.")),
            _ => Outcome::Refunded,
        };
        let outcome = self.books.give_back(id, outcome).await.map_err(unwritten)?;
        if product == magic::REFUND_LOST && self.books.take_fault(id).await.map_err(unwritten)? {
            return Err(ProviderError::Unknown(anyhow!("the simulated answer was lost")));
        }
        Ok(outcome.of_refund(id))
    }

    pub(super) async fn find_refund(&self, refund: &Refund) -> Result<Option<RefundOutcome>, ProviderError> {
        let id = &refund.intent;
        Ok(self.books.refund(id).map_err(unwritten)?.map(|outcome| outcome.of_refund(id)))
    }

    fn intent(&self, id: &IntentId) -> Result<Intent, ProviderError> {
        let found = self.books.intent(id).map_err(unwritten)?;
        found.ok_or_else(|| ProviderError::Refused(anyhow!("this ledger has no intent {id}: it is another folder's")))
    }
}

/// What fails before anything happened.
fn fault_at_first(product: &str) -> Option<ProviderError> {
    match product {
        magic::CUT => Some(ProviderError::Unknown(anyhow!("the simulated connection was cut"))),
        magic::REFUSED => Some(ProviderError::Refused(anyhow!("the simulated key was revoked"))),
        magic::THROTTLED => Some(ProviderError::Throttled { retry_after: Some(RETRY_AFTER) }),
        magic::UNREACHABLE => Some(ProviderError::Unreachable(anyhow!("the simulated network is down"))),
        _ => None,
    }
}

/// All that is written stands whole or not at all, and for good: trying again is harmless.
fn unwritten(error: io::Error) -> ProviderError {
    ProviderError::Unreachable(anyhow::Error::new(error).context("the simulator's ledger can't be read or written"))
}

#[cfg(test)]
mod tests;
