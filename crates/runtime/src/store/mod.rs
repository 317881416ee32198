//! The SQL of the verbs of every program.

pub(crate) mod disclosure;
