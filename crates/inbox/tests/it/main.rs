//! The inbox in the hands of a service that is none of ours, against real servers.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod building;
mod handling;
mod sales;
