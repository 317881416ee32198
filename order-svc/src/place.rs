//! Place an order: the order, `order.created` and the client's key in one transaction.
//!
//! A key that was used before gives the first answer again, made of the order itself: what it keeps of its request never
//! changes. The key is taken first, so that of two requests at once the second waits for the first and then finds its
//! order; test `two_requests_with_one_key_at_once_make_one_order`.

use chrono::Utc;
use outbox::{NewEvent, TraceParent, TransactionError};
use schema::ids::OrderId;

use crate::App;
use crate::domain::{IdempotencyKey, NewOrder, Order};
use crate::metrics::Outcome;
use crate::store::{Receipt, idempotency_keys, orders};

/// A request to place an order.
#[derive(Clone, Debug)]
pub struct Request {
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
}

/// Places the order under a fresh id, unless its key says that it was placed before.
///
/// # Errors
/// [`TransactionError`], after a few attempts if trying again was of use.
#[tracing::instrument(name = "order.place", level = "debug", skip_all, fields(aggregate.id))]
pub async fn place(app: &App, request: Request) -> Result<Placed, TransactionError> {
    let Request { new, key, traceparent } = request;
    let (order, event) = Order::place(OrderId::generate(), new, Utc::now());
    let event = event.traced(traceparent);
    tracing::Span::current().record("aggregate.id", tracing::field::display(order.id));

    let attempted = app.outbox.transact(|| commit(app, &order, &event, key.as_ref())).await;
    match attempted.inspect_err(|error| app.metrics.placed(Outcome::of_error(error)))? {
        Attempted::Earlier(earlier) if !earlier.asks_for_the_same(&order) => {
            app.metrics.placed(Outcome::Refused);
            Ok(Placed::KeyReused)
        }
        Attempted::Gone => {
            app.metrics.placed(Outcome::Refused);
            Ok(Placed::OrderGone)
        }
        Attempted::Earlier(earlier) => {
            app.metrics.placed(Outcome::Repeated);
            Ok(Placed::Repeated(earlier.as_placed()))
        }
        Attempted::Committed => {
            app.outbox.committed(&event);
            app.metrics.placed(Outcome::Done);
            tracing::debug!(event.id = %event.id, "order placed");
            Ok(Placed::First(order))
        }
    }
}

/// One attempt.
async fn commit(
    app: &App,
    order: &Order,
    event: &NewEvent,
    key: Option<&IdempotencyKey>,
) -> Result<Attempted, TransactionError> {
    let mut tx = app.pool.begin().await?;
    if let Some(key) = key
        && idempotency_keys::take(&mut tx, key, order.id).await? == Receipt::Duplicate
    {
        tx.rollback().await?;
        return earlier(app, order, key).await;
    }
    if orders::insert(&mut tx, order).await? == Receipt::Duplicate {
        // Nobody else makes our id: an earlier attempt has committed it, and its event with it.
        tx.rollback().await?;
        return Ok(Attempted::Committed);
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
