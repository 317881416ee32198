//! Place an order: the order, `order.created` and the client's key in one transaction.
//!
//! A key that was used before gives the first answer again, made of the order itself: what it keeps of its request never
//! changes. The key is taken first, so that of two requests at once the second waits for the first and then finds its
//! order; test `two_requests_with_one_key_at_once_make_one_order`. An order joins a group at its first attempt, and goes alone
//! after any fault.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use outbox::{TraceParent, TransactionError};
use schema::ids::OrderId;

use crate::App;
use crate::domain::{CustomerId, IdempotencyKey, NewOrder, Order};
use crate::group::{Fate, Groups, Placing};
use crate::metrics::Outcome;
use crate::store::{Receipt, idempotency_keys, orders};

/// A request to place an order.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who orders; none where nobody is asked for a token.
    pub customer: Option<CustomerId>,
    /// What to order.
    pub new: NewOrder,
    /// The client's name for the request.
    pub key: Option<IdempotencyKey>,
    /// The trace that the client is in.
    pub traceparent: Option<TraceParent>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Placed {
    /// The order is new.
    First(Order),
    /// An earlier request with the same key placed it: the order as it was then.
    Repeated(Order),
    /// An earlier request with the same key asked for something else.
    KeyReused,
    /// An earlier request with the same key placed an order that somebody has deleted since.
    OrderGone,
    /// The customer has placed too many within an hour, or there are too many with the address; when there is room.
    TooMany(Duration),
}

/// It was taken when it was tried, and free when it was looked up.
const KEY_CONTENDED: TransactionError =
    TransactionError::Contended("taking an idempotency key that others take and free");

/// What one attempt came to.
enum Attempted {
    /// The order is committed, by this attempt or by an earlier one whose answer was lost.
    Committed,
    /// Its key has placed this one before.
    Earlier(Order),
    /// Its key has placed one that is not there any more.
    Gone,
    /// There are too many, and room after this time.
    TooMany(Duration),
}

/// Places the order under a fresh id, unless its key says that it was placed before.
///
/// # Errors
/// [`TransactionError`], after a few attempts if trying again was of use.
#[tracing::instrument(name = "order.place", level = "debug", skip_all, fields(aggregate.id, otel.kind))]
pub async fn place(app: &App, request: Request) -> Result<Placed, TransactionError> {
    let Request { customer, new, key, traceparent } = request;
    let key = key.map(|key| key.of(customer.as_ref()));
    let (order, event) = Order::place(OrderId::generate(), customer, new, Utc::now());
    let event = event.traced(traceparent);
    tracing::Span::current().record("aggregate.id", tracing::field::display(order.id));
    let placing = Arc::new(Placing { order, event, key });

    let mut groups = app.groups.as_ref();
    let attempted = app.outbox.transact(|| attempt(app, groups.take(), &placing)).await;
    let attempted = attempted.inspect_err(|error| app.metrics.placed(Outcome::of_error(error)))?;
    let (outcome, placed) = match attempted {
        Attempted::Committed => {
            tracing::debug!(event.id = %placing.event.id, "order placed");
            (Outcome::Done, Placed::First(placing.order.clone()))
        }
        Attempted::Earlier(earlier) if earlier.asks_for_the_same(&placing.order) => {
            (Outcome::Repeated, Placed::Repeated(earlier.as_placed()))
        }
        Attempted::Earlier(_) => (Outcome::Refused, Placed::KeyReused),
        Attempted::Gone => (Outcome::Refused, Placed::OrderGone),
        Attempted::TooMany(wait) => (Outcome::Refused, Placed::TooMany(wait)),
    };
    app.metrics.placed(outcome);
    Ok(placed)
}

/// One attempt, in a group if there is one.
async fn attempt(app: &App, groups: Option<&Groups>, placing: &Arc<Placing>) -> Result<Attempted, TransactionError> {
    if let Some(groups) = groups {
        match groups.join(placing).await {
            Fate::Committed => return Ok(Attempted::Committed),
            Fate::InDoubt(error) => return Err(TransactionError::AtCommit(error)),
            Fate::Alone => {}
        }
    }
    let attempted = commit(app, placing).await?;
    if let Attempted::Committed = attempted {
        app.outbox.committed(&placing.event);
    }
    Ok(attempted)
}

/// One transaction for one order.
async fn commit(app: &App, placing: &Placing) -> Result<Attempted, TransactionError> {
    let Placing { order, event, key } = placing;
    let mut tx = app.pool.begin().await?;
    if let Some(key) = key
        && idempotency_keys::take(&mut tx, &[(key, order.id)]).await? == Receipt::Duplicate
    {
        tx.rollback().await?;
        return earlier(app, order, key).await;
    }
    if orders::insert(&mut tx, &[order]).await? == Receipt::Duplicate {
        // Nobody else makes our id: an earlier attempt has committed it, and its event with it.
        tx.rollback().await?;
        return Ok(Attempted::Committed);
    }
    // After the key and the id: what was accepted before is never too much.
    if let Some(bound) = app.bound
        && let Some(wait) = bound.wait(&mut tx, order).await?
    {
        tx.rollback().await?;
        return Ok(Attempted::TooMany(wait));
    }
    app.outbox.append(&mut tx, event).await?;
    tx.commit().await.map_err(TransactionError::AtCommit)?;
    Ok(Attempted::Committed)
}

/// What a taken key has placed.
async fn earlier(app: &App, order: &Order, key: &IdempotencyKey) -> Result<Attempted, TransactionError> {
    match idempotency_keys::find(&app.pool, key).await? {
        Some(taken) if taken.order_id == order.id => Ok(Attempted::Committed),
        Some(taken) if !taken.expired => {
            let earlier = orders::find(&app.pool, taken.order_id).await?;
            Ok(earlier.map_or(Attempted::Gone, Attempted::Earlier))
        }
        Some(_) => {
            idempotency_keys::free_expired(&app.pool, key).await?;
            Err(KEY_CONTENDED)
        }
        None => Err(KEY_CONTENDED),
    }
}
