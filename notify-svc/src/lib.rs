//! notify-svc: turns order events into notifications and emails them.
//!
//! Guarantees exactly one effect of each event in its database, in the order of its order's versions, with any number
//! of replicas; emails leave at least once. Relies on MySQL, on the stream that outbox-relay fills, and on nothing that
//! the broker remembers: a full re-read is harmless. It is a library so that its parts can be tested one by one.

pub mod cli;
pub mod config;
pub mod consumer;
pub mod email;
pub mod event;
pub mod housekeeping;
pub mod http;
pub mod message;
pub mod metrics;
pub mod migrate;
pub mod notification;
pub mod outcome;
pub mod position;
pub mod process;
pub mod repair;
pub mod resuming;
pub mod run;
pub mod store;

use consumer::Monitor;
use metrics::Metrics;
use runtime::mysql::Pool;

/// What the API needs. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct App {
    /// The database `notifications`.
    pub pool: Pool,
    /// What the consumer is doing.
    pub monitor: Monitor,
    /// What has been counted.
    pub metrics: Metrics,
}
