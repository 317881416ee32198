//! All SQL of this service: one file per table, each function one statement.

pub mod email_action;
pub mod email_count;
pub mod email_queue;
pub mod email_settlement;
pub mod inbox;
pub mod inbox_action;
pub mod inbox_dead;
pub mod inbox_dead_list;
pub mod inbox_due;
pub mod inbox_gate;
pub mod inbox_parked;
pub mod inbox_position;
pub mod inbox_read;
pub mod inbox_skipped;
mod kept;
pub mod notifications;

pub use runtime::mysql::Receipt;
