//! Kills threads at the server whose connections were given up here.
//!
//! Guarantees that the server never has more threads of a pool than its maximum and one: a thread that waits for a lock does
//! not notice that its socket was closed, so an unfinished connection keeps its place in the pool until the server has ended
//! its thread. Test `the_server_never_has_more_threads_than_the_pool_connections`. The one more
//! kills such threads, one after the other; no right is needed for threads of one's own user. A thread that commits is not
//! killed but waited for: it may wait for a replica, and would end that wait with its transaction in sight of others.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::error::number;
use super::login::Login;
use super::session;
use super::time_limit::in_time;
use crate::retry::Retry;
use crate::telemetry::chain;

/// A server that takes longer for one step is as good as away.
const STEP_TIME_MAX: Duration = Duration::from_secs(2);

/// The thread has ended meanwhile.
const NO_SUCH_THREAD: u16 = 1094;

/// The server's side of a connection. An id alone could be another thread's, on a server that was started again or that
/// took over; the client's address and port beside it make sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    id: u64,
    /// None if the server would not tell.
    client: Option<String>,
}

impl Thread {
    /// The thread that serves this connection.
    pub(super) async fn of(connection: &mut MySqlConnection) -> sqlx::Result<Self> {
        let id: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()").fetch_one(&mut *connection).await?;
        let client = match threads(connection).await {
            Ok(mut threads) => threads.remove(&id).and_then(|listed| listed.client),
            // MySQL may stumble over the text of another's statement. A thread of an unknown client is neither killed nor waited for.
            Err(sqlx::Error::Database(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { id, client })
    }
}

/// A thread as the server lists it.
struct Listed {
    /// None while a client logs in: whoever may see the threads of others meets such ones.
    client: Option<String>,
    command: Option<String>,
}

impl Listed {
    fn is(&self, thread: &Thread) -> bool {
        thread.client.is_some() && self.client == thread.client
    }
}

/// The threads that there are, by their ids, as far as we may see them: those of our user at least.
async fn threads(connection: &mut MySqlConnection) -> sqlx::Result<HashMap<u64, Listed>> {
    let rows = connection.fetch_all("SHOW PROCESSLIST").await?;
    // Unchecked: whether the id has a sign depends on the engine.
    let thread = |row: &MySqlRow| {
        let listed = Listed { client: row.try_get("Host")?, command: row.try_get("Command")? };
        Ok((row.try_get_unchecked("Id")?, listed))
    };
    rows.iter().map(thread).collect()
}

/// A connection that was given up, with its place in the pool as long as it keeps one: dropped, the place is free.
struct GivenUp {
    thread: Thread,
    _place: Option<Box<dyn Send + Sync>>,
    is_committing: bool,
}

/// Ends what is given to it, in the background. Clones share the work.
#[derive(Clone)]
pub(super) struct Closer {
    login: Login,
    work: Arc<Mutex<Work>>,
}

#[derive(Default)]
struct Work {
    given_up: Vec<GivenUp>,
    is_under_way: bool,
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").finish_non_exhaustive()
    }
}

impl Closer {
    pub(super) fn new(login: Login) -> Self {
        Self { login, work: Arc::default() }
    }

    /// Ends a connection that was left; `place` is dropped when the server has ended it.
    pub(super) fn close(&self, thread: Thread, place: Box<dyn Send + Sync>, is_committing: bool) {
        self.add(GivenUp { thread, _place: Some(place), is_committing });
    }

    /// Ends a connection that idled and has left the pool.
    pub(super) fn close_idle(&self, thread: Thread) {
        self.add(GivenUp { thread, _place: None, is_committing: false });
    }

    fn add(&self, given_up: GivenUp) {
        // Without a runtime the process is ending.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut work = self.work();
        work.given_up.push(given_up);
        if !work.is_under_way {
            work.is_under_way = true;
            drop(runtime.spawn(self.clone().run()));
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what there is to do; none if there is nothing, and then the next one starts the work again.
    fn take(&self) -> Option<Vec<GivenUp>> {
        let mut work = self.work();
        work.is_under_way = !work.given_up.is_empty();
        work.is_under_way.then(|| std::mem::take(&mut work.given_up))
    }

    /// Until everything has ended, or the pool is gone. While the server is away nothing is given back: the pool could not
    /// connect either.
    async fn run(self) {
        let mut retry = Retry::new(Duration::from_millis(20), Duration::from_millis(500));
        let mut spare = None;
        while let Some(given_up) = self.take() {
            let left = match self.end(&mut spare, &given_up).await {
                Ok(there) => given_up.into_iter().filter(|given_up| there.contains(&given_up.thread)).collect(),
                Err(error) => {
                    tracing::debug!(error = chain(&error), "can't end connections that were given up, trying again");
                    spare = None;
                    given_up
                }
            };
            let is_pool_gone = Arc::strong_count(&self.work) == 1;
            if left.is_empty() || is_pool_gone {
                retry.reset();
            } else {
                self.work().given_up.extend(left);
                tokio::time::sleep(retry.next_delay()).await;
            }
        }
        if let Some(spare) = spare {
            // It says farewell to a server that may be gone; there is nothing to learn from it.
            timeout(STEP_TIME_MAX, spare.close()).await.ok();
        }
    }

    /// Kills the threads that may be killed; those that are still there.
    async fn end(&self, spare: &mut Option<MySqlConnection>, given_up: &[GivenUp]) -> sqlx::Result<Vec<Thread>> {
        let connection = match spare {
            Some(connection) => connection,
            None => spare.insert(in_step(session::connect(&self.login.options())).await?),
        };
        let there = in_step(threads(connection)).await?;
        let mut left = Vec::new();
        for GivenUp { thread, is_committing, .. } in given_up {
            let Some(listed) = there.get(&thread.id).filter(|listed| listed.is(thread)) else { continue };
            left.push(thread.clone());
            // A COMMIT that never arrived is no COMMIT.
            if !is_committing || listed.command.as_deref() == Some("Sleep") {
                // MySQL takes no parameter here; a number that the server gave us is no text of anybody's.
                let killing = sqlx::raw_sql(AssertSqlSafe(format!("KILL {}", thread.id))).execute(&mut *connection);
                match in_step(killing).await {
                    Err(error) if number(&error) == Some(NO_SUCH_THREAD) => {}
                    killed => killed.map(|_| ())?,
                }
            }
        }
        Ok(left)
    }
}

async fn in_step<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    in_time(STEP_TIME_MAX, step).await
}
