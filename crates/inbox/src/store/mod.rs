//! All SQL of the inbox: one file per table, each function one statement. Rows are those of one consumer, whose [`Source`] each
//! function is given.
//!
//! [`Source`]: crate::source::Source

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

pub use runtime::mysql::Receipt;
