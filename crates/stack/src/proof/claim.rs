//! One claim, and what claims are put together from.

use std::collections::BTreeMap;
use std::fmt::Display;

use schema::aggregate::AggregateId;
use serde::Serialize;
use uuid::Uuid;

use super::{Order, OutboxEvent};

/// One claim, and what speaks against it.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// For scripts.
    pub name: &'static str,
    /// What is claimed.
    pub text: &'static str,
    /// How many things it was checked for.
    pub checked: usize,
    /// What violates it: each names ids.
    pub violations: Vec<String>,
}

impl Claim {
    /// A claim that nothing speaks against so far.
    #[must_use]
    pub fn new(name: &'static str, text: &'static str, checked: usize) -> Claim {
        Claim { name, text, checked, violations: Vec::new() }
    }

    /// Whether nothing speaks against it.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }

    /// Adds what speaks against it.
    #[must_use]
    pub fn except(mut self, violations: impl IntoIterator<Item = String>) -> Claim {
        self.violations.extend(violations);
        self
    }
}

/// Of things in the order in which they happened, each with its aggregate, its version and what it is: those that come after
/// one of the same or a later version.
pub(super) fn out_of_order(things: impl Iterator<Item = (AggregateId, u32, String)>) -> Vec<String> {
    let mut last: BTreeMap<AggregateId, (u32, String)> = BTreeMap::new();
    let late = things.filter_map(|(id, version, what)| match last.insert(id, (version, what.clone())) {
        Some((before, earlier)) if before >= version => Some(format!("{id}: {earlier}, and then {what}")),
        _ => None,
    });
    late.collect()
}

pub(super) fn by_id(orders: &[Order]) -> BTreeMap<Uuid, &Order> {
    orders.iter().map(|order| (order.id, order)).collect()
}

pub(super) fn by_aggregate(orders: &[Order]) -> BTreeMap<AggregateId, &Order> {
    orders.iter().map(|order| (order.aggregate_id(), order)).collect()
}

pub(super) fn repeated<T: Ord>(things: impl Iterator<Item = T>) -> impl Iterator<Item = (T, usize)> {
    let mut counts = BTreeMap::new();
    things.for_each(|thing| *counts.entry(thing).or_insert(0) += 1);
    counts.into_iter().filter(|(_, count)| *count > 1)
}

pub(super) fn named(event: &OutboxEvent) -> String {
    format!("event {} ({} of {})", event.event_id, event.event_type, event.aggregate_id)
}

pub(super) fn list(things: impl IntoIterator<Item = impl Display>) -> String {
    things.into_iter().map(|thing| thing.to_string()).collect::<Vec<_>>().join(" and ")
}
