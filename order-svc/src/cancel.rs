//! Cancel an order: its new status and `order.cancelled` in one transaction.
//!
//! Idempotent: cancelling a cancelled order changes nothing and appends nothing. Of several that cancel at once, the row
//! lock lets one do it and the others find it done; test `concurrent_cancels_append_one_event`.

use chrono::Utc;
use schema::ids::OrderId;

use crate::App;
use crate::domain::{Cancellation, Order, TraceParent};
use crate::metrics::Outcome;
use crate::store::transaction::{Attempts, TransactionError};
use crate::store::{orders, outbox};

/// Cancels the order and returns it as it is now; `None` if there is none.
///
/// # Errors
/// [`TransactionError`], after a few attempts if trying again was safe.
#[tracing::instrument(name = "order.cancel", skip_all, fields(aggregate.id = %id))]
pub async fn cancel(
    app: &App,
    id: OrderId,
    traceparent: Option<TraceParent>,
) -> Result<Option<Order>, TransactionError> {
    let mut attempts = Attempts::begin();
    let cancellation = loop {
        match commit(app, id, traceparent.as_ref()).await {
            Ok(cancellation) => break cancellation,
            Err(error) => {
                if let Err(error) = attempts.next(error).await {
                    app.metrics.cancelled(Outcome::of_error(&error));
                    return Err(error);
                }
                app.metrics.retried();
            }
        }
    };
    Ok(match cancellation {
        Some(Cancellation::Cancelled(order, event)) => {
            app.committed(event.event.event_type());
            app.metrics.cancelled(Outcome::Done);
            tracing::debug!(event.id = %event.id, "order cancelled");
            Some(order)
        }
        Some(Cancellation::AlreadyCancelled(order)) => {
            app.metrics.cancelled(Outcome::Done);
            Some(order)
        }
        None => {
            app.metrics.cancelled(Outcome::Refused);
            None
        }
    })
}

async fn commit(
    app: &App,
    id: OrderId,
    traceparent: Option<&TraceParent>,
) -> Result<Option<Cancellation>, TransactionError> {
    let mut tx = app.pool.begin().await?;
    let Some(order) = orders::lock(&mut tx, id).await? else {
        tx.rollback().await?;
        return Ok(None);
    };
    match order.cancel(Utc::now()) {
        Cancellation::Cancelled(order, event) => {
            let event = event.traced(traceparent.cloned());
            orders::advance(&mut tx, &order).await?;
            outbox::append(&mut tx, &event).await?;
            tx.commit().await.map_err(TransactionError::AtCommit)?;
            Ok(Some(Cancellation::Cancelled(order, event)))
        }
        unchanged @ Cancellation::AlreadyCancelled(_) => {
            tx.rollback().await?;
            Ok(Some(unchanged))
        }
    }
}
