//! order-svc: takes orders and appends their events, in one transaction each.
//!
//! Guarantees that an order and its event commit together or not at all. Relies on MySQL alone: NATS only makes the
//! relay quicker. Leaves publishing to outbox-relay. It is a library so that tests can serve the real router.

pub mod bound;
pub mod cancel;
pub mod cli;
pub mod config;
pub mod domain;
pub mod group;
pub mod http;
pub mod metrics;
pub mod payments;
pub mod place;
pub mod purge;
pub mod run;
mod seen;
pub mod store;

use outbox::Outbox;
use runtime::mysql::Pool;

use bound::Bound;
use group::Groups;
use metrics::Metrics;

/// What the use cases need. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct App {
    /// The database `orders`.
    pub pool: Pool,
    /// Its outbox.
    pub outbox: Outbox,
    /// What is counted.
    pub metrics: Metrics,
    /// Where orders commit together; none if each commits alone.
    pub groups: Option<Groups>,
    /// How many orders a customer may place; none if as many as they like.
    pub bound: Option<Bound>,
}
