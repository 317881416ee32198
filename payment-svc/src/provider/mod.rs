//! Takes money and gives it back: one charge and at most one refund of an order, whatever is killed.
//!
//! Two steps, because a provider forgets idempotency keys after 24 hours and we redeliver for longer. [`Provider::prepare`]
//! opens an intent, which moves no money. The caller records its id in its own database. [`Provider::charge`] takes the money
//! of that intent, and an intent can be paid only once: the provider itself is the fence. An intent that was opened and never
//! recorded stays unpaid for ever. A refund gives the whole charge back, and there is never more to give back.
//!
//! | error | what is known | what the caller does |
//! | --- | --- | --- |
//! | [`Unreachable`](ProviderError::Unreachable) | nothing was sent, or only a question | tries again later, spends no attempt |
//! | [`Refused`](ProviderError::Refused) | the provider wants nothing from us: key, account or settings | tells a person and waits, spends no attempt |
//! | [`Throttled`](ProviderError::Throttled) | not carried out, or another request is at it | waits as long as the provider says, spends no attempt |
//! | [`Unknown`](ProviderError::Unknown) | it may have happened | tries again with [`Attempt::Repeat`], which looks it up first |
//! | [`Invalid`](ProviderError::Invalid) | this charge can never work | gives it up |

mod chosen;
mod config;
mod error;
mod simulated;
mod stripe;
mod terms;

pub use chosen::Provider;
pub use config::{ProviderConfig, ProviderKind};
pub use error::ProviderError;
pub use simulated::{LedgerEntry, Simulated, ledger, magic};
pub use stripe::Stripe;
pub use terms::{
    Attempt, Charge, ChargeOutcome, Currency, Decline, IntentId, MalformedTerm, Refund, RefundOutcome, Standing,
};
