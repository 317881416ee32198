//! notify-svc: turns order and payment events into notifications and emails them.
//!
//! The crate `inbox` guarantees one effect of each event in its database, in the order of its order's versions; what the
//! effect is, `handler` says. Emails leave at least once. It is a library so that its parts can be tested one by one.

pub mod address;
pub mod cli;
pub mod config;
pub mod email;
pub mod handler;
pub mod housekeeping;
pub mod http;
pub mod notification;
pub mod payments;
pub mod run;
pub mod store;
pub mod suppression;
pub mod tell;
pub mod webhook;

use std::sync::Arc;

use runtime::mysql::Pool;
use runtime::renewable::Renewable;

/// What the API needs. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct App {
    /// The database `notifications`.
    pub pool: Pool,
    /// What the inbox of the orders is doing.
    pub monitor: inbox::consumer::Monitor,
    /// What that of the payments is doing, if there is one.
    pub payments_monitor: Option<inbox::consumer::Monitor>,
    /// What the inbox of the orders has counted.
    pub inbox_metrics: inbox::metrics::Metrics,
    /// What whoever tells of bounces, complaints and unsubscribers signs with; none if nobody may.
    pub webhook_secret: Option<Arc<Renewable>>,
}
