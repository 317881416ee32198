//! The SQL: one file per table, each function one statement whose doc says what it locks.

pub(crate) mod outbox;
pub(crate) mod outbox_status;
pub(crate) mod relay_lease;
