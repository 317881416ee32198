//! order-svc against real servers: MySQL and MariaDB each, and nats-server where it matters. Run by `make test`.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod addressing;
mod api;
mod bounding;
mod cancelling;
mod commit_thief;
mod doubt;
mod edges;
mod fuzzing;
mod grouping;
mod listing;
mod metrics;
mod operating;
mod outages;
mod paying;
mod placing;
mod process;
mod refusing;
mod repeating;
mod schema_change;
mod watching;
