//! All SQL of the relay: one file per table, each function one statement.

pub mod lease;
pub mod outbox;
