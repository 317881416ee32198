//! Process plumbing that every service needs and no business rule touches.
//!
//! Guarantees one way to start, to be watched and to stop. Knows nothing of orders, outbox or inbox.

mod asked;
pub mod config;
pub mod connection_metrics;
pub mod connector;
pub mod counters;
pub mod exit;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod manual;
pub mod mask;
pub mod migrate;
pub mod mysql;
pub mod nats;
pub mod operator;
pub mod page;
pub mod readiness;
pub mod renewable;
pub mod retention;
pub mod retry;
mod store;
pub mod telemetry;
pub mod terminal;
pub mod time;
pub mod tls;
