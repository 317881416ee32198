//! The SQL that is this service's own: one file per table, each function one statement. The inbox has its own.

pub mod email_action;
pub mod email_count;
pub mod email_queue;
pub mod email_settlement;
pub mod notifications;

pub use runtime::mysql::Receipt;
