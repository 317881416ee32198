//! The provider that the settings choose.

use anyhow::Context;

use super::config::{Choice, ProviderConfig};
use super::error::ProviderError;
use super::simulated::Simulated;
use super::stripe::Stripe;
use super::terms::{Attempt, Charge, ChargeOutcome, IntentId, Refund, RefundOutcome, Standing};

/// Who takes the money. A handle: clone it.
#[derive(Clone, Debug)]
pub enum Provider {
    /// Nobody: a folder on this machine.
    Simulated(Simulated),
    /// Stripe, or what speaks as it does.
    Stripe(Box<Stripe>),
}

impl Provider {
    /// Opens the chosen provider. A remote one need not be up yet; a simulator's folder must be writable.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub async fn open(config: &ProviderConfig) -> anyhow::Result<Self> {
        Ok(match config.choice().map_err(anyhow::Error::msg)? {
            Choice::Simulated { dir } => {
                let simulated = Simulated::open(dir).await;
                Self::Simulated(
                    simulated.with_context(|| format!("PAYMENT_SIMULATOR_DIR {} is not writable", dir.display()))?,
                )
            }
            Choice::Stripe(settings) => Self::Stripe(Box::new(Stripe::new(&settings)?)),
        })
    }

    /// Opens an intent: moves no money. Its id must be recorded before [`Provider::charge`], and the one that was recorded
    /// first is the one to charge.
    ///
    /// # Errors
    /// See [`ProviderError`]; whichever it is, nothing was charged.
    pub async fn prepare(&self, charge: &Charge) -> Result<IntentId, ProviderError> {
        match self {
            Self::Simulated(simulated) => simulated.prepare(charge).await,
            Self::Stripe(stripe) => stripe.prepare(charge).await,
        }
    }

    /// Takes the money of an intent, once however often this is called. A repeat looks it up first.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn charge(&self, intent: &IntentId, attempt: Attempt) -> Result<ChargeOutcome, ProviderError> {
        match self {
            Self::Simulated(simulated) => simulated.charge(intent, attempt).await,
            Self::Stripe(stripe) => stripe.charge(intent, attempt).await,
        }
    }

    /// Ends an intent for good, so that it can't be paid even by a request that is still under way, or says how it ended
    /// before.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn withdraw(&self, intent: &IntentId) -> Result<ChargeOutcome, ProviderError> {
        match self {
            Self::Simulated(simulated) => simulated.withdraw(intent).await,
            Self::Stripe(stripe) => stripe.withdraw(intent).await,
        }
    }

    /// How an intent stands. Changes nothing.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn find(&self, intent: &IntentId) -> Result<Standing, ProviderError> {
        match self {
            Self::Simulated(simulated) => simulated.find(intent).await,
            Self::Stripe(stripe) => stripe.find(intent).await,
        }
    }

    /// Gives back all that an intent took, once however often this is called. A repeat looks it up first.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn refund(&self, refund: &Refund, attempt: Attempt) -> Result<RefundOutcome, ProviderError> {
        match self {
            Self::Simulated(simulated) => simulated.refund(refund, attempt).await,
            Self::Stripe(stripe) => stripe.refund(refund, attempt).await,
        }
    }

    /// What became of a refund, if it was asked for. Changes nothing.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn find_refund(&self, refund: &Refund) -> Result<Option<RefundOutcome>, ProviderError> {
        match self {
            Self::Simulated(simulated) => simulated.find_refund(refund).await,
            Self::Stripe(stripe) => stripe.find_refund(refund).await,
        }
    }
}
