//! The relay as a process, against real MySQL, MariaDB and NATS.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod config;
mod crash;
mod lease;
mod metrics;
mod order;
mod outage;
mod rubbish;
mod support;
mod wake;
