//! A connection out of the pool, and a transaction on it.
//!
//! Guarantees that a connection is reused only if its last statement completed, outside of a transaction. Any other is closed
//! and its thread at the server killed, which rolls back. A connection that was reused in the middle of a ping gave the next
//! statement the answer to the ping, and each one after it the answer to the one before
//! (`a_health_check_that_is_given_up_shifts_no_answers`).

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::time::Duration;

use deadpool::managed::Object;
use sqlx::{Executor, MySqlConnection};

use super::connector::Connector;
use super::error::is_transient;
use super::time_limit::in_time;

/// A connection out of the pool. Closed when it is dropped, unless it is released; its place is free when the server has
/// ended it.
#[derive(Debug)]
pub struct PooledConnection {
    /// None once it is released.
    connection: Option<Object<Connector>>,
    statement_time_max: Duration,
    /// COMMIT was sent, and nobody knows yet what became of it.
    is_committing: bool,
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

/// A transaction. Rolled back, at the price of its connection, when it is dropped.
pub struct Transaction {
    connection: PooledConnection,
    follow_ups: Vec<FollowUp>,
}

/// What is done when a COMMIT was answered.
type FollowUp = Box<dyn FnOnce() + Send + Sync>;

impl Transaction {
    pub(super) async fn begin(connection: PooledConnection) -> sqlx::Result<Self> {
        let mut transaction = Self { connection, follow_ups: Vec::new() };
        transaction.run("BEGIN").await?;
        Ok(transaction)
    }

    /// Has something done when the COMMIT was answered, such as counting what was written. It is not done after a rollback, and
    /// may be lost: by a process that dies, or with the answer to the COMMIT.
    pub fn after_commit(&mut self, follow_up: impl FnOnce() + Send + Sync + 'static) {
        self.follow_ups.push(Box::new(follow_up));
    }

    /// Commits.
    ///
    /// # Errors
    /// As the database has it. Unless it says so itself, it may have committed.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        self.connection.is_committing = true;
        let follow_ups = std::mem::take(&mut self.follow_ups);
        self.end("COMMIT").await?;
        follow_ups.into_iter().for_each(|follow_up| follow_up());
        Ok(())
    }

    /// Rolls back, before anything else happens.
    ///
    /// # Errors
    /// As the database has it. The transaction is rolled back all the same.
    pub async fn rollback(self) -> sqlx::Result<()> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> sqlx::Result<()> {
        self.run(statement).await?;
        self.connection.release();
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> sqlx::Result<()> {
        in_time(self.connection.statement_time_max, self.connection.execute(statement)).await.map(drop)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Deref for Transaction {
    type Target = MySqlConnection;

    fn deref(&self) -> &MySqlConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut MySqlConnection {
        &mut self.connection
    }
}
