//! A connection out of the pool.
//!
//! Guarantees that a connection is reused only if its last statement completed, outside of a transaction. Any other is closed
//! and its thread at the server killed, which rolls back. A connection that was reused in the middle of a ping gave the next
//! statement the answer to the ping, and each one after it the answer to the one before
//! (`a_health_check_that_is_given_up_shifts_no_answers`).

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::time::Duration;

use deadpool::managed::Object;
use sqlx::MySqlConnection;

use super::connector::Connector;
use super::error::is_transient;

/// A connection out of the pool. Closed when it is dropped, unless it is released; its place is free when the server has
/// ended it.
#[derive(Debug)]
pub struct PooledConnection {
    /// None once it is released.
    connection: Option<Object<Connector>>,
    pub(super) statement_time_max: Duration,
    /// COMMIT was sent, and nobody knows yet what became of it.
    pub(super) is_committing: bool,
}

impl PooledConnection {
    pub(super) fn new(connection: Object<Connector>, statement_time_max: Duration) -> Self {
        Self { connection: Some(connection), statement_time_max, is_committing: false }
    }

    /// Gives it back as it is: nothing is under way on it, no answer and no transaction.
    pub fn release(mut self) {
        drop(self.connection.take());
    }

    /// The server did not answer, or somebody between us hung up: the next connection may lead to another one.
    fn lost(self) {
        if let Some(pool) = self.connection.as_ref().and_then(Object::pool) {
            pool.manager().doubts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives it back if the statement came to its end, be it a refusal of the statement itself.
    pub(super) fn ran<T>(self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        match &result {
            Err(error) if error.as_database_error().is_none() => self.lost(),
            Err(error) if is_transient(error) => drop(self),
            Ok(_) | Err(_) => self.release(),
        }
        result
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match Object::pool(&connection) {
            Some(pool) => pool.manager().give_up(connection, self.is_committing),
            None => drop(connection),
        }
    }
}

impl Deref for PooledConnection {
    type Target = MySqlConnection;

    fn deref(&self) -> &MySqlConnection {
        self.connection.as_ref().expect("it is there until it is released").connection()
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut MySqlConnection {
        self.connection.as_mut().expect("it is there until it is released").connection_mut()
    }
}
