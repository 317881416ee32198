//! What the payment events do to an order: it knows how its payment stands, and one whose payment is declined is cancelled.
//!
//! That ends the circle by state: payment-svc hears of the cancellation, finds nothing to give back and does nothing. Relies on the
//! inbox for one effect of each event, in order; locks the order's row, like any other cancellation.

use std::process::ExitCode;

use chrono::Utc;
use inbox::cli::InboxVerb;
use inbox::{Applied, Decision, Handler, Source};
use outbox::{Outbox, OutboxConfig, TransactionError};
use prometheus::Registry;
use runtime::mysql::Transaction;
use runtime::telemetry::chain;
use schema::envelope::Envelope;
use schema::event::DecodeError;
use schema::ids::OrderId;
use schema::names;
use schema::payment::PaymentEvent;

use crate::cancel;
use crate::domain::{Cancellation, Order, PaymentState};
use crate::store::orders;

/// The payment events on a stream.
pub fn source(stream: &str) -> Source {
    Source::new(stream, names::ORDERS_DURABLE, names::PAYMENT)
}

/// Does what a verb says about the payment events.
///
/// # Errors
/// If the database can't be read or written, or the stream can't be read.
pub async fn verb(verb: InboxVerb) -> anyhow::Result<ExitCode> {
    let outbox = Outbox::new(&OutboxConfig::default(), &[], &Registry::new())?;
    verb.run(source(names::PAYMENTS_STREAM), Payments { outbox }).await
}

/// Makes changes of orders of payment events.
#[derive(Clone, Debug)]
pub struct Payments {
    /// Where cancellations are appended.
    pub outbox: Outbox,
}

/// How the payment of an order stands since an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    order_id: OrderId,
    payment: PaymentState,
}

impl Handler for Payments {
    type Effect = Told;

    fn decide(&self, envelope: &Envelope, payload: &[u8]) -> Decision<Told> {
        match PaymentEvent::decode(&envelope.event_type, payload) {
            Ok(event) => Decision::Apply(Told { order_id: event.order_id(), payment: PaymentState::told_by(&event) }),
            Err(DecodeError::UnknownType(_)) => Decision::Ignore,
            Err(error) => Decision::Dead(format!("decoding the payload: {}", chain(&error))),
        }
    }

    async fn apply(&self, tx: &mut Transaction, effects: &[&Told]) -> sqlx::Result<Applied> {
        // Rows are locked in one order, and each order's events keep theirs.
        let mut effects = effects.to_vec();
        effects.sort_by_key(|told| told.order_id.0);
        for told in effects {
            let Some(order) = orders::lock(tx, told.order_id).await? else {
                tracing::warn!(aggregate.id = %told.order_id, "payment of an order that is not here; nothing to change");
                continue;
            };
            orders::set_payment(tx, order.id, told.payment).await?;
            match self.cancel(tx, Order { payment: told.payment, ..order }).await {
                Ok(()) => {}
                Err(TransactionError::BeforeCommit(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cancelling an order without a payment failed, trying again");
                    return Ok(Applied::Later);
                }
            }
        }
        Ok(Applied::Done)
    }
}

impl Payments {
    /// If its payment says so, and nobody has before.
    async fn cancel(&self, tx: &mut Transaction, order: Order) -> Result<(), TransactionError> {
        let Some(cause) = order.payment.cancels() else { return Ok(()) };
        let decide = |order: Order, version| order.cancel(Utc::now(), version, Some(cause));
        if let Cancellation::Cancelled(_, event) = cancel::write(tx, &self.outbox, order, decide).await? {
            let outbox = self.outbox.clone();
            tx.after_commit(move || outbox.committed(&event));
        }
        Ok(())
    }
}
