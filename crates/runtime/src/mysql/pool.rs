//! The pool of connections to the database.
//!
//! Guarantees that no statement that is given to it waits longer than [`STATEMENT_TIME_MAX`], and that a connection whose
//! server fell silent, as in a failover away from a machine that hangs, leaves the pool with whoever used it:
//! `a_statement_that_is_left_is_not_waited_for`. sqlx's own pool pings each connection that is returned and waits for the
//! answer without limit, so that such a one keeps its place for ever (sqlx issue 4349). Here deadpool keeps them: one whose
//! statement has ended is returned as it is, without a round trip, and any other is closed; see [`super::closer`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deadpool::Status;
use deadpool::managed::{self, PoolError, QueueMode};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use sqlx::mysql::{MySqlQueryResult, MySqlRow, MySqlStatement, MySqlTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, MySql, SqlStr};
use tokio::time::timeout;

use super::connection::PooledConnection;
use super::connector::Connector;
use super::login::Login;
use super::time_limit::in_time;
use super::transaction::Transaction;
use crate::readiness::Readiness;

/// No statement of a service takes so long; a database that does counts as away. More than a wait for a lock, and less
/// than a request may take, so that its client hears what ails the database.
pub const STATEMENT_TIME_MAX: Duration = Duration::from_secs(7);

/// Verbs read whole tables, and a person can stop them.
const VERB_TIME_MAX: Duration = Duration::from_secs(600);

/// Connections to one database. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: managed::Pool<Connector>,
    acquire_timeout: Duration,
    statement_time_max: Duration,
}

impl Pool {
    /// Connects when first used.
    pub(super) fn new(login: Login, connections_max: u32, acquire_timeout: Duration) -> Self {
        let builder = managed::Pool::builder(Connector::new(login));
        // The one used last is the one most likely alive, and needs no check.
        let builder = builder.max_size(connections_max as usize).queue_mode(QueueMode::Lifo);
        let connections = builder.build().expect("deadpool asks for a runtime only with timeouts");
        Self { connections, acquire_timeout, statement_time_max: STATEMENT_TIME_MAX }
    }

    /// The same for verbs, whose statements may take ten minutes.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { statement_time_max: VERB_TIME_MAX, ..self }
    }

    /// A connection, within the acquire timeout.
    ///
    /// # Errors
    /// As the database has it; [`sqlx::Error::PoolTimedOut`] if none is free in time or none can be made.
    pub async fn acquire(&self) -> sqlx::Result<PooledConnection> {
        // The driver's future has room for a whole TLS handshake, 18 kB: on the heap, or each layer would copy it.
        match timeout(self.acquire_timeout, Box::pin(self.connections.get())).await {
            Ok(Ok(connection)) => Ok(PooledConnection::new(connection, self.statement_time_max)),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(_)) => Err(sqlx::Error::PoolClosed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// As [`Pool::acquire`], and as the database has it.
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        Transaction::begin(self.acquire().await?).await
    }

    /// What several statements on one connection gave, if that took no longer than one may.
    ///
    /// # Errors
    /// Theirs, or a transient one if time has run out.
    pub async fn in_time<T>(&self, statements: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        in_time(self.statement_time_max, statements).await
    }

    /// Makes the process unready while the server refuses its login after it had taken it: the password is being rotated.
    pub fn unready_while_refused(&self, readiness: &Readiness) {
        let is_refused = Arc::clone(self.connections.manager().login.is_refused());
        readiness.unready_while("database: it refuses our login", is_refused);
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.connections.manager().login.is_refused().load(Ordering::Relaxed)
    }

    /// How often a connection was lost so far. Whoever decided something before this number changed should read it again: the next statement may
    /// reach another server.
    pub fn doubts(&self) -> u64 {
        self.connections.manager().doubts.load(Ordering::Relaxed)
    }

    /// Whether the database answered when a connection was last wanted.
    pub(crate) fn is_up(&self) -> bool {
        self.connections.manager().is_up.load(Ordering::Relaxed)
    }

    /// How many connections there are, may be, and are idle.
    pub(crate) fn status(&self) -> Status {
        self.connections.status()
    }
}

/// Each statement on a connection of its own choice.
impl<'p> Executor<'p> for &'_ Pool {
    type Database = MySql;

    /// Reads all rows before it gives the first: no reader that is slow or goes away leaves some on the connection.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<MySqlQueryResult, MySqlRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, MySql>,
    {
        let pool = self.clone();
        let reading = async move {
            let mut connection = pool.acquire().await?;
            let read: sqlx::Result<Vec<_>> = pool.in_time(connection.fetch_many(query).try_collect()).await;
            Ok(stream::iter(connection.ran(read)?.into_iter().map(Ok)))
        };
        reading.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<MySqlRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, MySql>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut steps = pool.fetch_many(query);
            while let Some(step) = steps.try_next().await? {
                if let Either::Right(row) = step {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [MySqlTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<MySqlStatement>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let prepared = pool.in_time(connection.prepare_with(sql, parameters)).await;
            connection.ran(prepared)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<MySql>>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let described = pool.in_time(connection.describe(sql)).await;
            connection.ran(described)
        })
    }
}
