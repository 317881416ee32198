//! Cancel an order: its new status and `order.cancelled` in one transaction.
//!
//! Idempotent: cancelling a cancelled order changes nothing and appends nothing, so an attempt whose COMMIT got no answer
//! may be repeated. Of several that cancel at once, the row lock lets one do it and the others find it done; test
//! `concurrent_cancels_append_one_event`. A version that another writer's event has taken is left to it, and the cancellation
//! takes the next: consumers get both, in order, and the order can be cancelled whatever others append;
//! `a_version_that_another_writer_took_keeps_no_order_from_being_cancelled`.

use std::num::NonZeroU32;

use chrono::Utc;
use outbox::{Outbox, TraceParent, TransactionError, versions_after};
use runtime::mysql::Transaction;
use schema::ids::OrderId;
use schema::names;

use crate::App;
use crate::domain::{Cancellation, Order, OrderStatus, VERSIONS_SKIPPED_MAX, Whose};
use crate::metrics::Outcome;
use crate::store::orders;

/// What became of a request to cancel.
#[derive(Clone, Debug)]
pub enum Cancelled {
    /// The order is cancelled, now or since earlier.
    Done(Order),
    /// The order stands where it can't be cancelled any more.
    TooLate(OrderStatus),
    /// The order is in another state than the client takes it for.
    Unexpected(Order),
    /// There is no such order among those that the caller may see.
    NotFound,
}

/// Cancels the order, if the caller may see it and it is in a state that the client expects. What this request asks for may have happened already,
/// by an attempt whose answer was lost: an order that was cancelled out of an expected state is done.
///
/// # Errors
/// [`TransactionError`], after a few attempts if trying again was of use.
#[tracing::instrument(name = "order.cancel", skip_all, fields(aggregate.id = %id, otel.kind))]
pub async fn cancel(
    app: &App,
    (id, whose): (OrderId, &Whose),
    traceparent: Option<TraceParent>,
    expects: impl Fn(&Order) -> bool,
) -> Result<Cancelled, TransactionError> {
    let cancellation = app.outbox.transact(|| commit(app, (id, whose), traceparent.as_ref(), &expects)).await;
    let cancellation = cancellation.inspect_err(|error| app.metrics.cancelled(Outcome::of_error(error)))?;
    let (outcome, cancelled) = match cancellation {
        Some(Cancellation::Cancelled(order, event)) => {
            app.outbox.committed(&event);
            tracing::debug!(event.id = %event.id, "order cancelled");
            (Outcome::Done, Cancelled::Done(order))
        }
        Some(Cancellation::AlreadyCancelled(order)) => (Outcome::Repeated, Cancelled::Done(order)),
        Some(Cancellation::Unexpected(order)) => (Outcome::Refused, Cancelled::Unexpected(order)),
        Some(Cancellation::TooLate(status)) => (Outcome::Refused, Cancelled::TooLate(status)),
        None => (Outcome::Refused, Cancelled::NotFound),
    };
    app.metrics.cancelled(outcome);
    Ok(cancelled)
}

async fn commit(
    app: &App,
    (id, whose): (OrderId, &Whose),
    traceparent: Option<&TraceParent>,
    expects: impl Fn(&Order) -> bool,
) -> Result<Option<Cancellation>, TransactionError> {
    let mut tx = app.pool.begin().await?;
    let Some(order) = orders::lock(&mut tx, id).await?.filter(|order| order.is_among(whose)) else {
        tx.rollback().await?;
        return Ok(None);
    };
    let decide = |order: Order, version| match order.cancel_if(Utc::now(), version, expects) {
        Cancellation::Cancelled(order, event) => {
            Cancellation::Cancelled(order, Box::new(event.traced(traceparent.cloned())))
        }
        unchanged => unchanged,
    };
    let cancellation = write(&mut tx, &app.outbox, order, decide).await?;
    match cancellation {
        Cancellation::Cancelled(..) => tx.commit().await.map_err(TransactionError::AtCommit)?,
        Cancellation::AlreadyCancelled(_) | Cancellation::TooLate(_) | Cancellation::Unexpected(_) => {
            tx.rollback().await?;
        }
    }
    Ok(Some(cancellation))
}

/// Writes what is decided about an order whose row is locked: its status and its event, as its next version that no other
/// event has.
///
/// # Errors
/// As the database has it; [`TransactionError::VersionTaken`] if another writer was quicker.
pub(crate) async fn write(
    tx: &mut Transaction,
    outbox: &Outbox,
    order: Order,
    decide: impl FnOnce(Order, NonZeroU32) -> Cancellation,
) -> Result<Cancellation, TransactionError> {
    let before = order.version;
    let taken = versions_after(tx, (names::ORDER, order.id.into()), before, VERSIONS_SKIPPED_MAX).await?;
    let version = order.next_version(&taken);
    let cancellation = decide(order, version);
    if let Cancellation::Cancelled(order, event) = &cancellation {
        orders::advance(tx, order, before).await?;
        outbox.append(tx, event).await?;
    }
    Ok(cancellation)
}
