//! What the services must agree on: ids, events, the envelope, names, migrations and grants.
//!
//! Guarantees that a writer and a reader of an event see the same thing. Relies on nothing that runs: no tokio
//! runtime, no HTTP, no NATS client. Leaves out how rows and messages move; that belongs to the services.

pub mod aggregate;
pub mod content;
pub mod database;
pub mod email;
pub mod envelope;
pub mod event;
pub mod ids;
pub mod names;
pub mod payment;
pub mod scope;
pub mod sequence;
pub mod timestamp;
