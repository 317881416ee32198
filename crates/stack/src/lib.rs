//! The local stack: real MySQL or MariaDB, NATS with JetStream and nginx as child processes, for running, testing
//! and measuring the services.
//!
//! Guarantees that what it starts is stopped: each server is a child in its own process group, is told to end when
//! its launcher dies, and is ended by process id only. Relies on `crates/stack/setup` for the programs. Leaves the host's
//! own services alone.

pub mod account;
mod engine;
pub mod home;
pub mod issuer;
pub mod otlp;
pub mod passwords;
pub mod pipeline;
pub mod port;
pub mod process;
pub mod proof;
pub mod proxy;
pub mod recipients;
pub mod scratch;
pub mod server;
pub mod service;
pub mod signals;
pub mod smtp;
pub mod testing;

pub use engine::Engine;
