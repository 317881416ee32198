//! payment-svc: charges customers for their orders, and refunds what was cancelled.
//!
//! Guarantees that money is taken at most once for an order, that none is kept for a cancelled one, and that each outcome is an
//! event that commits with it. Relies on MySQL, on the stream that outbox-relay fills, and on a provider that pays an intent
//! once. It is a library so that its parts can be tested one by one.

pub mod advance;
pub mod cli;
pub mod config;
pub mod handler;
pub mod http;
pub mod payment;
pub mod performer;
pub mod provider;
pub mod run;
pub mod sampler;
pub mod store;

use inbox::consumer::Monitor;
use runtime::mysql::Pool;

/// What the API needs. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct App {
    /// The database `payments`.
    pub pool: Pool,
    /// What the consumer is doing.
    pub monitor: Monitor,
}
