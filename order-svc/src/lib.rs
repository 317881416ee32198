//! order-svc: takes orders and appends their events, in one transaction each.
//!
//! Guarantees that an order and its event commit together or not at all. Relies on MySQL alone: NATS only makes the
//! relay quicker. Leaves publishing to outbox-relay. It is a library so that tests can serve the real router.

pub mod cancel;
pub mod config;
pub mod domain;
pub mod http;
pub mod metrics;
pub mod migrate;
pub mod place;
pub mod purge;
pub mod run;
pub mod store;
pub mod wake;

use runtime::mysql::Pool;
use schema::event::EventType;

use config::EventBytesMax;
use metrics::Metrics;
use wake::Wake;

/// What the use cases need. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct App {
    /// The database `orders`.
    pub pool: Pool,
    /// Wakes the relay.
    pub wake: Wake,
    /// What is counted.
    pub metrics: Metrics,
    /// What the broker takes.
    pub event_bytes_max: EventBytesMax,
}

impl App {
    /// What follows a commit that appended an event. If the process dies just before, the relay polls.
    fn committed(&self, event_type: EventType) {
        self.metrics.appended(event_type);
        self.wake.hint();
    }
}
