//! What people do: the verbs of the command line, one file each with its arguments, and what `check` compares.

pub mod check;
mod chosen;
pub mod command;
pub mod discard;
pub mod forget_stream;
pub mod list;
pub mod pause;
pub mod preflight;
pub mod purge;
pub mod replay;
pub mod requeue;
pub mod resume;
pub mod run;
pub mod show;
pub mod status;
