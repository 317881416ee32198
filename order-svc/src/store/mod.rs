//! The SQL: one file per table, each function one statement whose doc says what it locks.
//!
//! What is written together is written through one `Transaction`; its fate is `outbox`'s, and so is the table `outbox`.

pub mod customers;
pub mod idempotency_keys;
pub mod order_counts;
pub mod order_lists;
pub mod orders;

pub use runtime::mysql::Receipt;
