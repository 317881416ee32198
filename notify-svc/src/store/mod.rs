//! All SQL of this service: one file per table, each function one statement.

pub mod email_queue;
pub mod inbox;
pub mod inbox_dead;
pub mod inbox_gate;
pub mod inbox_skipped;
pub mod inbox_waiting;
pub mod notifications;

/// Whether a row is new, or was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It was inserted now.
    First,
    /// Its key is taken.
    Duplicate,
}

impl Receipt {
    /// Reads the outcome of a plain INSERT. An upsert can't tell: with CLIENT_FOUND_ROWS, which sqlx sets, one that
    /// changes nothing reports a row like a fresh one. A refused INSERT undoes itself only; the transaction goes on.
    fn of<T>(inserted: sqlx::Result<T>) -> sqlx::Result<Self> {
        match inserted {
            Ok(_) => Ok(Self::First),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Self::Duplicate),
            Err(error) => Err(error),
        }
    }
}
