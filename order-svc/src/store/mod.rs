//! The SQL: one file per table, each function one statement whose doc says what it locks.
//!
//! What is written together is written through one `Transaction`; its fate is [`transaction`]'s.

pub mod idempotency_keys;
pub mod order_lists;
pub mod orders;
pub mod outbox;
pub mod outbox_status;
pub mod relay_lease;
pub mod transaction;

/// What a plain INSERT of something with an identity found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Nothing: the row is new.
    First,
    /// A committed row of the same identity.
    Duplicate,
}

impl Receipt {
    fn of<T>(inserted: sqlx::Result<T>) -> sqlx::Result<Self> {
        match inserted {
            Ok(_) => Ok(Self::First),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Self::Duplicate),
            Err(error) => Err(error),
        }
    }
}
