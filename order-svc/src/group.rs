//! Group commit: orders that wait at the same time are written by one transaction, which one COMMIT makes durable.
//!
//! No timer: a lane takes what waits and writes it, and what comes meanwhile waits for the next; a lone order commits alone,
//! at once. The lanes are tasks of their own, so that a client that hangs up takes nobody along. Guarantees that fate is
//! shared only between BEGIN and the answer to COMMIT: after any fault before it each order goes alone and hears its own
//! error, and after a COMMIT without an answer each finds out by its own ids. Tests in `grouping.rs`.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox::{NewEvent, Outbox, TransactionError};
use runtime::mysql::{Pool, Receipt, Transaction, rows};
use runtime::telemetry::chain;
use tokio::sync::{Mutex as QueueLock, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bound::Bound;
use crate::domain::{IdempotencyKey, Order};
use crate::metrics::Metrics;
use crate::seen::Seen;
use crate::store::{idempotency_keys, orders};

/// Two keep the database busy: one prepares its group while the other waits for its COMMIT.
pub const LANES: usize = 2;

/// An order that no lane has taken for so long goes alone: the lanes wait for a database that does not answer.
const WAIT_MAX: Duration = Duration::from_millis(250);

/// A group that has not sent its COMMIT by then is given up, and its orders go alone: within a request's time each still
/// hears what ails the database.
const BEFORE_COMMIT_MAX: Duration = Duration::from_secs(1);

/// Orders that may wait for a lane; more go alone.
const WAITING_MAX: usize = 1024;

/// An order with all that commits with it.
#[derive(Debug)]
pub struct Placing {
    /// The order.
    pub order: Order,
    /// The event about it.
    pub event: NewEvent,
    /// The client's name for the request.
    pub key: Option<IdempotencyKey>,
}

/// What became of an order in a group.
#[derive(Debug)]
pub enum Fate {
    /// It is committed, and counted.
    Committed,
    /// Nothing happened to it.
    Alone,
    /// COMMIT was sent and not confirmed.
    InDoubt(sqlx::Error),
}

/// One order in the queue: whoever takes it out, lane or client, decides where it goes.
#[derive(Debug)]
struct Member {
    placing: Arc<Placing>,
    fate: oneshot::Sender<Fate>,
}

type Place = Arc<Mutex<Option<Member>>>;

/// The way into a group. Clones lead to the same.
#[derive(Clone, Debug)]
pub struct Groups {
    queue: mpsc::Sender<Place>,
    /// The keys of this process' orders under way: a repeat would hold up a whole group behind the first.
    keys: Arc<Mutex<HashSet<IdempotencyKey>>>,
}

/// Writes groups.
#[derive(Clone, Debug)]
pub struct Lane {
    pool: Pool,
    outbox: Outbox,
    metrics: Metrics,
    queue: Arc<QueueLock<mpsc::Receiver<Place>>>,
    group_max: usize,
    /// With whom it is asked about.
    bound: Option<(Bound, Arc<Seen>)>,
}

/// The way into groups of at most `group_max` orders, and the lanes that write them. None if each order goes alone.
pub fn lanes(
    pool: &Pool,
    outbox: &Outbox,
    metrics: &Metrics,
    (group_max, bound): (usize, Option<Bound>),
) -> (Option<Groups>, Vec<Lane>) {
    if group_max == 1 {
        return (None, Vec::new());
    }
    let (sender, queue) = mpsc::channel(WAITING_MAX);
    let queue = Arc::new(QueueLock::new(queue));
    let (pool, outbox, metrics) = (pool.clone(), outbox.clone(), metrics.clone());
    let bound = bound.map(|bound| (bound, Arc::new(Seen::new())));
    let lane = Lane { pool, outbox, metrics, queue, group_max, bound };
    (Some(Groups { queue: sender, keys: Arc::default() }), vec![lane; LANES])
}

impl Groups {
    /// Has a lane write the order, together with others if others wait.
    pub async fn join(&self, placing: &Arc<Placing>) -> Fate {
        let Some(_key) = self.reserve(placing.key.as_ref()) else { return Fate::Alone };
        let (fate, mut told) = oneshot::channel();
        let place = Arc::new(Mutex::new(Some(Member { placing: Arc::clone(placing), fate })));
        if self.queue.try_send(Arc::clone(&place)).is_err() {
            return Fate::Alone;
        }
        if let Ok(fate) = timeout(WAIT_MAX, &mut told).await {
            return fate.unwrap_or_else(Fate::untold);
        }
        if take(&place).is_some() {
            return Fate::Alone;
        }
        told.await.unwrap_or_else(Fate::untold)
    }

    /// Keeps a key until the result is dropped, unless another order of this process has it.
    fn reserve(&self, key: Option<&IdempotencyKey>) -> Option<Reserved> {
        if let Some(key) = key
            && !locked(&self.keys).insert(key.clone())
        {
            return None;
        }
        Some(Reserved { keys: Arc::clone(&self.keys), key: key.cloned() })
    }
}

/// A key that no other order of this process brings into a group.
struct Reserved {
    keys: Arc<Mutex<HashSet<IdempotencyKey>>>,
    key: Option<IdempotencyKey>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            locked(&self.keys).remove(key);
        }
    }
}

fn take(place: &Place) -> Option<Member> {
    locked(place).take()
}

/// What is in there is whole whatever panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fate {
    /// A fault that passes by itself: the order finds out by its ids what became of it.
    fn in_doubt(reason: &str) -> Self {
        Self::InDoubt(sqlx::Error::Io(io::Error::new(io::ErrorKind::ConnectionAborted, reason)))
    }

    /// The lane has ended, and did not say.
    fn untold(_: oneshot::error::RecvError) -> Self {
        Self::in_doubt("the group was given up")
    }
}

impl Member {
    fn tell(self, fate: Fate) {
        // Nobody listens if the client has hung up.
        drop(self.fate.send(fate));
    }
}

impl Lane {
    /// Writes groups until nobody is `served` any more.
    ///
    /// # Errors
    /// Never; the signature is a part's.
    pub async fn run(self, served: CancellationToken) -> anyhow::Result<()> {
        while let Some(Some(group)) = served.run_until_cancelled(self.next()).await {
            self.write(group).await;
        }
        Ok(())
    }

    /// What waits, or the first that comes: as many as a statement takes. None when no request can come any more.
    async fn next(&self) -> Option<Vec<Member>> {
        let mut queue = self.queue.lock().await;
        let first = queue.recv().await?;
        let more = rows::largest(self.group_max.min(queue.len() + 1)) - 1;
        let places = std::iter::once(first).chain(std::iter::from_fn(|| queue.try_recv().ok()).take(more));
        Some(places.filter_map(|place| take(&place)).filter(|member| !member.fate.is_closed()).collect())
    }

    async fn write(&self, mut group: Vec<Member>) {
        if group.is_empty() {
            return;
        }
        let tx = match timeout(BEFORE_COMMIT_MAX, self.prepare(&mut group)).await {
            Ok(Ok(Some(tx))) => tx,
            given_up => {
                tracing::debug!(orders = group.len(), ?given_up, "each order of a group goes alone");
                return group.into_iter().for_each(|member| member.tell(Fate::Alone));
            }
        };
        let committed = tx.commit().await;
        if committed.is_ok() {
            self.metrics.grouped(group.len());
        }
        for member in group {
            match &committed {
                Ok(()) => {
                    self.outbox.committed(&member.placing.event);
                    member.tell(Fate::Committed);
                }
                Err(error) => member.tell(Fate::in_doubt(&chain(error))),
            }
        }
    }

    /// All of a transaction but its COMMIT. Whose key is taken leaves the group, and whoever may have placed too many. None: nobody
    /// is left, or one of them can't be written.
    async fn prepare(&self, group: &mut Vec<Member>) -> sqlx::Result<Option<Transaction>> {
        let mut tx = self.pool.begin().await?;
        if group.len() > 1 {
            leave_if_taken(&mut tx, group).await?;
        }
        if let Some((bound, seen)) = &self.bound {
            leave_if_near(&mut tx, group, (*bound, seen)).await?;
        }
        if group.is_empty() {
            return tx.rollback().await.map(|()| None);
        }
        match self.insert(&mut tx, group).await {
            Ok(Receipt::First) => Ok(Some(tx)),
            Ok(Receipt::Duplicate) => tx.rollback().await.map(|()| None),
            Err(TransactionError::BeforeCommit(error)) => Err(error),
            // One of them is too large, or its version is taken.
            Err(_) => tx.rollback().await.map(|()| None),
        }
    }

    async fn insert(&self, tx: &mut Transaction, group: &[Member]) -> Result<Receipt, TransactionError> {
        let placings = || group.iter().map(|member| &*member.placing);
        let keys: Vec<_> = placings().filter_map(|placing| Some((placing.key.as_ref()?, placing.order.id))).collect();
        if idempotency_keys::take(tx, &keys).await? == Receipt::Duplicate {
            return Ok(Receipt::Duplicate);
        }
        if orders::insert(tx, &placings().map(|placing| &placing.order).collect::<Vec<_>>()).await?
            == Receipt::Duplicate
        {
            return Ok(Receipt::Duplicate);
        }
        self.outbox.append_all(tx, &placings().map(|placing| &placing.event).collect::<Vec<_>>()).await
    }
}

/// Sends alone who may be above the bound: there each is counted by itself, and its key found first.
async fn leave_if_near(
    tx: &mut Transaction,
    group: &mut Vec<Member>,
    (bound, seen): (Bound, &Seen),
) -> sqlx::Result<()> {
    let orders = group.iter().map(|member| &member.placing.order);
    let orders: Vec<_> = orders.filter(|order| seen.again(order)).collect();
    let near = bound.near(tx, &orders).await?;
    let is_near = |member: &mut Member| near.contains(&member.placing.order.id);
    group.extract_if(.., is_near).for_each(|member| member.tell(Fate::Alone));
    Ok(())
}

/// Sends alone whose key is taken, or all who have a key, if a transaction of another process has one of them: it would hold
/// up the group.
async fn leave_if_taken(tx: &mut Transaction, group: &mut Vec<Member>) -> sqlx::Result<()> {
    let keys: Vec<_> = group.iter().filter_map(|member| member.placing.key.as_ref()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let taken = match idempotency_keys::taken(tx, &keys).await {
        Ok(taken) => taken,
        Err(error) if error.as_database_error().is_some() => keys.iter().map(|key| key.as_str().to_owned()).collect(),
        Err(error) => return Err(error),
    };
    let is_taken = |member: &mut Member| {
        member.placing.key.as_ref().is_some_and(|key| taken.iter().any(|taken| taken == key.as_str()))
    };
    group.extract_if(.., is_taken).for_each(|member| member.tell(Fate::Alone));
    Ok(())
}
