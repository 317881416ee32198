//! The inbox of a service that consumes events: each event has exactly one effect in the service's database, in the order of
//! its aggregate's versions, with any number of replicas.
//!
//! Relies on MySQL or MariaDB, on a JetStream stream that carries the envelope of `docs/outbox-contract.md`, and on nothing
//! that the broker remembers: a full re-read is harmless. Leaves out what happens outside of the database.
//!
//! A service supplies a [`Handler`]. [`Running`] consumes; [`cli`] has the verbs, [`status`] the answers about it, and [`kit`]
//! tries a handler. `docs/build-a-service.md` builds this service step by step:
//!
//! ```no_run
#![doc = include_str!("../examples/count_sales.rs")]
//! ```

pub mod cli;
mod config;
pub mod consumer;
mod event;
mod handler;
mod housekeeping;
pub mod kit;
mod message;
pub mod metrics;
mod outcome;
mod position;
pub mod process;
mod repair;
mod resuming;
mod running;
mod source;
pub mod status;
pub mod store;

pub use config::InboxConfig;
pub use handler::{Applied, Decision, Handler};
pub use message::{Claimed, Message};
pub use outcome::Outcome;
pub use process::Inbox;
pub use running::Running;
pub use source::Source;
