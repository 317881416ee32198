//! Makes the pool's connections, checks those that idled, and gives up those that were left in the middle of something.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use sqlx::{Connection, MySqlConnection};
use tokio::time::timeout;

use super::closer::{Closer, Thread};
use super::login::Login;
use super::session;
use crate::retry::Retry;

/// A pooled connection that was idle for longer is checked before it is used again.
pub const UNCHECKED_IDLE: Duration = Duration::from_secs(1);

/// A connection that does not answer a ping sooner is given up.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Older connections are replaced, so that a server that came back gets its share of them.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// Makes connections for the pool, and checks them before they are used again.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) login: Login,
    closer: Closer,
    /// When a connection was last found silent: those that are older are given up unasked, for each would take its time.
    silent_at: Mutex<Option<Instant>>,
    pub(super) doubts: AtomicU64,
    /// Whether the database answered when a connection was last wanted; false before the first.
    pub(super) is_up: AtomicBool,
}

/// A connection in the making. Dropped before it is made, also because nobody waits for it any longer, the database is away.
struct Attempt<'a> {
    is_up: &'a AtomicBool,
    is_made: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.is_up.store(self.is_made, Ordering::Relaxed);
    }
}

/// The place of a connection in the pool. Dropped, it is free for another one.
struct Place(Option<Object<Connector>>);

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

/// A connection and the server's side of it.
#[derive(Debug)]
pub(super) struct Session {
    /// None once it is hung up.
    connection: Option<MySqlConnection>,
    thread: Thread,
}

impl Session {
    pub(super) fn connection(&self) -> &MySqlConnection {
        self.connection.as_ref().expect("only a connection that was given up is hung up")
    }

    pub(super) fn connection_mut(&mut self) -> &mut MySqlConnection {
        self.connection.as_mut().expect("only a connection that was given up is hung up")
    }

    /// Closes our end.
    fn hang_up(&mut self) {
        drop(self.connection.take());
    }
}

impl managed::Manager for Connector {
    type Type = Session;
    type Error = sqlx::Error;

    /// Tries again while nobody listens, which is how a server that restarts looks.
    async fn create(&self) -> sqlx::Result<Session> {
        let mut attempt = Attempt { is_up: &self.is_up, is_made: false };
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
        attempt.is_made = true;
        Ok(Session { connection: Some(connection), thread })
    }

    /// A check before each use would cost a round trip a transaction. Under load nothing idles, and a dead connection
    /// shows as a transient error; after a quiet time a restart of the database must not fail one request for each.
    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let usable = self.check(session.connection_mut(), metrics).await;
        if usable.is_ok() {
            self.is_up.store(true, Ordering::Relaxed);
        } else {
            session.hang_up();
            self.closer.close_idle(session.thread.clone());
        }
        usable
    }
}

impl Connector {
    pub(super) fn new(login: Login) -> Self {
        let closer = Closer::new(login.clone());
        Self { login, closer, silent_at: Mutex::default(), doubts: AtomicU64::new(0), is_up: AtomicBool::new(false) }
    }

    /// Ends a connection that was left in the middle of something; it keeps its place in the pool until the server has
    /// ended it, too.
    pub(super) fn give_up(&self, mut connection: Object<Self>, is_committing: bool) {
        connection.hang_up();
        let thread = connection.thread.clone();
        self.closer.close(thread, Box::new(Place(Some(connection))), is_committing);
    }

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
