//! The stack's own tests: what the other crates' tests stand on has to hold first.

#![allow(clippy::unwrap_used)]

mod access;
mod accounts;
mod answers;
mod authority;
mod cluster;
mod console;
mod cors;
mod database;
mod demo;
mod disclosing;
mod doctor;
mod encrypted;
mod erasing;
mod gateway;
mod grants;
mod healing;
mod identity;
mod inspect;
mod load;
mod manifests;
mod monitoring;
mod observing;
mod personal_data;
mod pipeline;
mod pool;
mod ports;
mod process;
mod prove;
mod proxy;
mod replication;
mod rotation;
mod secrets;
mod server_errors;
mod servers;
mod services;
mod sessions;
mod sign_in;
mod statements;
mod stopping;
mod tls;
mod tracing;
mod up;
mod verbs;
mod verdict;
