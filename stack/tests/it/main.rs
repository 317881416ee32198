//! The stack's own tests: what the other crates' tests stand on has to hold first.

#![allow(clippy::unwrap_used)]

mod accounts;
mod database;
mod gateway;
mod inspect;
mod pipeline;
mod ports;
mod process;
mod proxy;
mod servers;
mod services;
mod stopping;
