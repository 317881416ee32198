//! All SQL of the effects: each function one statement, whose doc says what it locks.

pub(crate) mod action;
pub(crate) mod claim;
pub(crate) mod count;
pub(crate) mod purge;
pub(crate) mod queue;
pub(crate) mod settlement;
pub(crate) mod wanted;

/// The column `last_error` holds so many characters.
const ERROR_CHARS_MAX: usize = 1000;

fn cut(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}

/// A duration as the database's INTERVAL takes it.
fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
