//! The verbs of the command line, one file each with its arguments.

pub mod discard;
pub mod list;
mod operator;
pub mod pause;
pub mod requeue;
pub mod resume;
pub mod run;
pub mod show;
pub mod status;
mod table;
