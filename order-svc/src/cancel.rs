//! Cancel an order: its new status and `order.cancelled` in one transaction.
//!
//! Idempotent: cancelling a cancelled order changes nothing and appends nothing, so an attempt whose COMMIT got no answer
//! may be repeated. Of several that cancel at once, the row lock lets one do it and the others find it done; test
//! `concurrent_cancels_append_one_event`. A version that another writer's event has taken is left to it, and the cancellation
//! takes the next: consumers get both, in order, and the order can be cancelled whatever others append;
//! `a_version_that_another_writer_took_keeps_no_order_from_being_cancelled`.

use chrono::Utc;
use outbox::{TraceParent, TransactionError, versions_after};
use schema::ids::OrderId;
use schema::names;

use crate::App;
use crate::domain::{Cancellation, Order, OrderStatus, VERSIONS_SKIPPED_MAX};
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
    /// There is no such order.
    NotFound,
}

/// Cancels the order, if it is in a state that the client expects. What this request asks for may have happened already,
/// by an attempt whose answer was lost: an order that was cancelled out of an expected state is done.
///
/// # Errors
/// [`TransactionError`], after a few attempts if trying again was of use.
#[tracing::instrument(name = "order.cancel", skip_all, fields(aggregate.id = %id))]
pub async fn cancel(
    app: &App,
    id: OrderId,
    traceparent: Option<TraceParent>,
    expects: impl Fn(&Order) -> bool,
) -> Result<Cancelled, TransactionError> {
    let cancellation = app.outbox.transact(|| commit(app, id, traceparent.as_ref(), &expects)).await;
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
    id: OrderId,
    traceparent: Option<&TraceParent>,
    expects: impl Fn(&Order) -> bool,
) -> Result<Option<Cancellation>, TransactionError> {
    let mut tx = app.pool.begin().await?;
    let Some(order) = orders::lock(&mut tx, id).await? else {
        tx.rollback().await?;
        return Ok(None);
    };
    let before = order.version;
    let taken = versions_after(&mut tx, (names::ORDER, id.into()), before, VERSIONS_SKIPPED_MAX).await?;
    let version = order.next_version(&taken);
    match order.cancel_if(Utc::now(), version, expects) {
        Cancellation::Cancelled(order, event) => {
            let event = event.traced(traceparent.cloned());
            orders::advance(&mut tx, &order, before).await?;
            app.outbox.append(&mut tx, &event).await?;
            tx.commit().await.map_err(TransactionError::AtCommit)?;
            Ok(Some(Cancellation::Cancelled(order, event)))
        }
        unchanged @ (Cancellation::AlreadyCancelled(_) | Cancellation::TooLate(_) | Cancellation::Unexpected(_)) => {
            tx.rollback().await?;
            Ok(Some(unchanged))
        }
    }
}
