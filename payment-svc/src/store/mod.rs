//! The SQL of the payments: each function one statement, whose doc says what it locks.

pub mod payments;
pub mod stuck;
