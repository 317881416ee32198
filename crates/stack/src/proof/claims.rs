//! The claims, each compared with the evidence as far as it goes. Everything here is pure.

mod effects;
mod emails;
mod events;
mod orders;
mod payments;
#[cfg(test)]
mod tests;

use super::claim::Claim;
use super::{Asked, Evidence};

pub use emails::{Sender, check_emails};

/// Compares what is there with what customers were answered. The pipeline has to be at rest.
#[must_use]
pub fn check(asked: &[Asked], evidence: &Evidence) -> Vec<Claim> {
    let (orders, events) = (orders::claims(asked, evidence), events::claims(evidence));
    let effects = effects::claims(evidence).into_iter().chain(payments::claims(evidence));
    orders.into_iter().chain(events).chain(effects).collect()
}
