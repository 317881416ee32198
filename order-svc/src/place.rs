//! Place an order: the order and `order.created` in one transaction.

use chrono::Utc;
use schema::ids::OrderId;

use crate::App;
use crate::domain::{NewEvent, NewOrder, Order, TraceParent};
use crate::metrics::Outcome;
use crate::store::transaction::{Attempts, TransactionError};
use crate::store::{orders, outbox};

/// Places the order under a fresh id.
///
/// # Errors
/// [`TransactionError`], after a few attempts if trying again was safe.
#[tracing::instrument(name = "order.place", skip_all, fields(aggregate.id))]
pub async fn place(app: &App, new: NewOrder, traceparent: Option<TraceParent>) -> Result<Order, TransactionError> {
    let (order, event) = Order::place(OrderId::generate(), new, Utc::now());
    let event = event.traced(traceparent);
    tracing::Span::current().record("aggregate.id", tracing::field::display(order.id));

    let mut attempts = Attempts::begin();
    while let Err(error) = commit(app, &order, &event).await {
        if let Err(error) = attempts.next(error).await {
            app.metrics.placed(Outcome::of_error(&error));
            return Err(error);
        }
        app.metrics.retried();
    }
    app.committed(event.event.event_type());
    app.metrics.placed(Outcome::Done);
    tracing::debug!(event.id = %event.id, "order placed");
    Ok(order)
}

async fn commit(app: &App, order: &Order, event: &NewEvent) -> Result<(), TransactionError> {
    let mut tx = app.pool.begin().await?;
    orders::insert(&mut tx, order).await?;
    outbox::append(&mut tx, event).await?;
    tx.commit().await.map_err(TransactionError::AtCommit)
}
