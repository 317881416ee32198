//! A transaction on a connection out of the pool.
//!
//! Guarantees that no statement waits longer than one may, as the pool does: whoever waits for ever keeps what the transaction
//! has locked from everybody (`a_transaction_whose_line_fell_silent_is_given_up`). After one that was left before its answer
//! came, nothing is read from the connection any more: the next statement would take that answer for its own.

use std::fmt;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::mysql::{MySqlQueryResult, MySqlRow, MySqlStatement, MySqlTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, MySql, MySqlConnection, SqlStr};

use super::connection::PooledConnection;
use super::time_limit::in_time;

/// A transaction. Rolled back, at the price of its connection, when it is dropped.
pub struct Transaction {
    connection: PooledConnection,
    /// A statement has not come to its end.
    is_cut: bool,
    follow_ups: Vec<FollowUp>,
}

/// What is done when a COMMIT was answered.
type FollowUp = Box<dyn FnOnce() + Send + Sync>;

impl Transaction {
    pub(super) async fn begin(connection: PooledConnection) -> sqlx::Result<Self> {
        let mut transaction = Self { connection, is_cut: false, follow_ups: Vec::new() };
        transaction.execute("BEGIN").await?;
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
        self.execute(statement).await?;
        self.connection.release();
        Ok(())
    }

    /// Runs one statement to its end.
    async fn step<'t, T>(
        &'t mut self,
        statement: impl FnOnce(&'t mut MySqlConnection) -> BoxFuture<'t, sqlx::Result<T>>,
    ) -> sqlx::Result<T> {
        let Self { connection, is_cut, .. } = self;
        if std::mem::replace(is_cut, true) {
            return Err(sqlx::Error::Protocol("a statement of this transaction was left before its end".to_owned()));
        }
        let result = in_time(connection.statement_time_max, statement(connection)).await;
        *is_cut = matches!(&result, Err(error) if error.as_database_error().is_none());
        result
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl<'t> Executor<'t> for &'t mut Transaction {
    type Database = MySql;

    /// Reads all rows before it gives the first, as the pool does.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<MySqlQueryResult, MySqlRow>>>
    where
        't: 'e,
        E: 'q + Execute<'q, MySql>,
    {
        let reading = self.step(|connection| connection.fetch_many(query).try_collect::<Vec<_>>().boxed());
        reading.map_ok(|read| stream::iter(read.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<MySqlRow>>>
    where
        't: 'e,
        E: 'q + Execute<'q, MySql>,
    {
        self.step(|connection| connection.fetch_optional(query)).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [MySqlTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<MySqlStatement>>
    where
        't: 'e,
    {
        self.step(|connection| connection.prepare_with(sql, parameters)).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<MySql>>>
    where
        't: 'e,
    {
        self.step(|connection| connection.describe(sql)).boxed()
    }
}
