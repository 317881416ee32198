//! The verbs for operators that are this service's own. Tables for people, `--json` for programs.

pub mod customer;
