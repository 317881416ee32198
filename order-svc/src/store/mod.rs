//! The SQL: one file per table, each function one statement whose doc says what it locks.
//!
//! What is written together is written through one `Transaction`; its fate is [`transaction`]'s.

pub mod idempotency_keys;
pub mod order_lists;
pub mod orders;
pub mod outbox;
pub mod outbox_status;
pub mod relay_lease;
pub mod transaction;

pub use runtime::mysql::Receipt;
