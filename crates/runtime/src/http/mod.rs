//! HTTP as every service speaks it: the server, its middleware, problem responses, documents and the admin port.

pub mod admin;
pub mod api;
pub mod certificate;
pub mod client;
pub mod config;
pub mod cors;
pub mod docs;
pub mod health;
pub mod identity;
pub mod layers;
pub mod list;
pub mod metrics;
pub mod problem;
pub mod read;
pub mod server;
