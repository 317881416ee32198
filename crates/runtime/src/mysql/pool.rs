//! The pool of connections to the database.
//!
//! Guarantees that no statement that is given to it waits longer than [`STATEMENT_TIME_MAX`], and that a connection whose
//! server fell silent, as in a failover away from a machine that hangs, leaves the pool with whoever used it:
//! `a_statement_that_is_left_is_not_waited_for`. sqlx's own pool pings each connection that is returned and waits for the
//! answer without limit, so that such a one keeps its place for ever (sqlx issue 4349). Here deadpool keeps them: one whose
//! statement has ended is returned as it is, without a round trip, and any other is closed; see [`super::closer`].

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Status;
use deadpool::managed::{self, Metrics, PoolError, QueueMode, RecycleError, RecycleResult};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use sqlx::mysql::{MySqlQueryResult, MySqlRow, MySqlStatement, MySqlTypeInfo};
use sqlx::{Connection, Describe, Either, Execute, Executor, MySql, MySqlConnection, SqlStr};
use tokio::time::timeout;

use super::closer::{Closer, Thread};
use super::connection::{PooledConnection, Transaction, in_time};
use super::login::Login;
use super::session;
use crate::readiness::Readiness;
use crate::retry::Retry;

/// No statement of a service takes so long; a database that does counts as away. More than a wait for a lock, and less
/// than a request may take, so that its client hears what ails the database.
pub const STATEMENT_TIME_MAX: Duration = Duration::from_secs(7);

/// Verbs read whole tables, and a person can stop them.
const VERB_TIME_MAX: Duration = Duration::from_secs(600);

/// A pooled connection that was idle for longer is checked before it is used again.
pub const UNCHECKED_IDLE: Duration = Duration::from_secs(1);

/// A connection that does not answer a ping sooner is given up.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Older connections are replaced, so that a server that came back gets its share of them.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);

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
        let closer = Closer::new(login.clone());
        let builder =
            managed::Pool::builder(Connector { login, closer, silent_at: Mutex::default(), doubts: AtomicU64::new(0) });
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

    pub(super) fn is_refused(&self) -> bool {
        self.connections.manager().login.is_refused().load(Ordering::Relaxed)
    }

    /// How often a connection was lost so far. Whoever decided something before this number changed should read it again: the next statement may
    /// reach another server.
    pub fn doubts(&self) -> u64 {
        self.connections.manager().doubts.load(Ordering::Relaxed)
    }

    /// How many connections there are, may be, and are idle.
    pub(crate) fn status(&self) -> Status {
        self.connections.status()
    }
}

/// Makes connections for the pool, and checks them before they are used again.
#[derive(Debug)]
pub(super) struct Connector {
    login: Login,
    pub(super) closer: Closer,
    /// When a connection was last found silent: those that are older are given up unasked, for each would take its time.
    silent_at: Mutex<Option<Instant>>,
    pub(super) doubts: AtomicU64,
}

/// A connection and the server's side of it.
#[derive(Debug)]
pub(super) struct Session {
    /// None once it is hung up.
    connection: Option<MySqlConnection>,
    pub(super) thread: Thread,
}

impl Session {
    pub(super) fn connection(&self) -> &MySqlConnection {
        self.connection.as_ref().expect("only a connection that was given up is hung up")
    }

    pub(super) fn connection_mut(&mut self) -> &mut MySqlConnection {
        self.connection.as_mut().expect("only a connection that was given up is hung up")
    }

    /// Closes our end.
    pub(super) fn hang_up(&mut self) {
        drop(self.connection.take());
    }
}

impl managed::Manager for Connector {
    type Type = Session;
    type Error = sqlx::Error;

    /// Tries again while nobody listens, which is how a server that restarts looks.
    async fn create(&self) -> sqlx::Result<Session> {
        let mut retry = Retry::new(Duration::from_millis(20), Duration::from_millis(500));
        let mut connection = loop {
            match session::connect_for_service(&self.login.options()).await {
                Err(sqlx::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                    tokio::time::sleep(retry.next_delay()).await;
                }
                connected => break self.login.tried(connected)?,
            }
        };
        let thread = Thread::of(&mut connection).await?;
        Ok(Session { connection: Some(connection), thread })
    }

    /// A check before each use would cost a round trip a transaction. Under load nothing idles, and a dead connection
    /// shows as a transient error; after a quiet time a restart of the database must not fail one request for each.
    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let usable = self.check(session.connection_mut(), metrics).await;
        if usable.is_err() {
            session.hang_up();
            self.closer.close_idle(session.thread.clone());
        }
        usable
    }
}

impl Connector {
    async fn check(&self, connection: &mut MySqlConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if metrics.age() > AGE_MAX {
            return Err(RecycleError::message("it is old"));
        }
        let last_used = metrics.recycled.unwrap_or(metrics.created);
        if self.silent_at().is_some_and(|silent_at| last_used <= silent_at) {
            return Err(RecycleError::message("another one of its time does not answer"));
        }
        if last_used.elapsed() > UNCHECKED_IDLE {
            let Ok(pinged) = timeout(ANSWER_TIME_MAX, connection.ping()).await else {
                *self.silent_at() = Some(Instant::now());
                self.doubts.fetch_add(1, Ordering::Relaxed);
                return Err(RecycleError::message("it does not answer"));
            };
            if let Err(error) = pinged {
                self.doubts.fetch_add(1, Ordering::Relaxed);
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn silent_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent_at.lock().unwrap_or_else(PoisonError::into_inner)
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
