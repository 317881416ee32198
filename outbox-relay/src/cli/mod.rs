//! The verbs of the command line, one file each with its arguments.

pub mod check;
pub mod discard;
pub mod forget_stream;
pub mod list;
pub mod operator;
pub mod pause;
mod progress;
pub mod purge;
pub mod replay;
pub mod requeue;
pub mod resume;
pub mod run;
pub mod show;
pub mod status;
mod table;
