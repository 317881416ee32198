//! All SQL of the relay: one file per table, each function one statement. `outbox` has a file for each
//! of those who use it.

pub mod action;
pub mod column;
pub mod discarded;
pub mod lease;
pub mod outbox;
pub mod outbox_count;
pub mod outbox_earlier;
pub mod outbox_foreign;
pub mod outbox_heal;
pub mod outbox_held;
pub mod outbox_operator;
pub mod outbox_purge;
pub mod outbox_put_off;
pub mod outbox_replay;
pub mod outbox_settle;
pub mod outbox_view;
pub mod pause;
pub mod relay_stream;
pub mod server;
pub mod state;
