//! The verbs for operators that are this service's own: each opens the database, says what it found and ends. Tables for people,
//! `--json` for programs.

pub mod status;
pub mod suppression;
