//! What an order event means for its payment.

use effect::{New, Wake, Withdrawal};
use inbox::{Applied, Decision, Handler, Source};
use outbox::{Outbox, OutboxConfig};
use prometheus::Registry;
use runtime::mysql::{Receipt, Transaction};
use runtime::telemetry::trace::{self, TraceParent};
use schema::envelope::Envelope;
use schema::event::{DecodeError, OrderCreated, OrderEvent};
use schema::ids::{EffectId, OrderId, PaymentId};
use schema::names;
use serde_json::json;

use crate::advance::{CHARGE, QUEUE, Said, advance};
use crate::payment::{Fact, State};
use crate::store::payments::{self, NewPayment};

/// Decides and applies. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct Payments {
    /// Where events are appended.
    pub outbox: Outbox,
    /// Woken when something is to be asked of the provider.
    pub wake: Wake,
}

/// What an event comes to, in its trace.
#[derive(Clone, Debug)]
pub struct Wanted {
    what: What,
    traceparent: Option<TraceParent>,
}

#[derive(Clone, Debug)]
enum What {
    /// The order is to be paid.
    Payment(OrderCreated),
    /// The order is to keep no money.
    Cancellation(OrderId),
}

/// The order events, as payment-svc reads them.
pub fn source() -> Source {
    Source::new(names::STREAM, names::PAYMENT_DURABLE, names::ORDER)
}

/// A handler for a verb, which ends before anybody could ask for its counters, or be woken.
///
/// # Errors
/// Never: the names of the counters are ours.
pub fn for_verbs() -> anyhow::Result<Payments> {
    Ok(Payments { outbox: Outbox::new(&OutboxConfig::default(), &[], &Registry::new())?, wake: Wake::default() })
}

impl Handler for Payments {
    type Effect = Wanted;

    fn decide(&self, envelope: &Envelope, payload: &[u8]) -> Decision<Wanted> {
        match OrderEvent::decode(&envelope.event_type, payload) {
            Ok(OrderEvent::Created(OrderCreated { quantity: 0, .. })) => {
                Decision::Dead("quantity must be at least 1".to_owned())
            }
            Ok(OrderEvent::Created(created)) => Decision::Apply(What::Payment(created).into()),
            Ok(OrderEvent::Cancelled(cancelled)) => Decision::Apply(What::Cancellation(cancelled.order_id).into()),
            Err(DecodeError::UnknownType(_)) => Decision::Ignore,
            Err(error) => Decision::Dead(runtime::telemetry::chain(&error)),
        }
    }

    async fn apply(&self, tx: &mut Transaction, effects: &[&Wanted]) -> sqlx::Result<Applied> {
        for Wanted { what, traceparent } in effects {
            if trace::below(traceparent.as_ref(), self.apply_one(tx, what)).await? == Receipt::Duplicate {
                return Ok(Applied::Duplicate);
            }
        }
        Ok(Applied::Done)
    }

    fn committed(&self) {
        self.wake.hint();
    }
}

/// Writes a payment that is due, and has it charged.
async fn due(tx: &mut Transaction, created: &OrderCreated) -> sqlx::Result<Receipt> {
    let price = payments::price(tx, &created.product).await?;
    let (id, charge_id) = (PaymentId::generate(), EffectId::generate());
    let amount_minor = u64::from(price.unit_minor) * u64::from(created.quantity);
    let new = NewPayment { id, order_id: created.order_id, amount_minor, currency: price.currency, charge_id };
    if payments::insert(tx, &new).await? == Receipt::Duplicate {
        return Ok(Receipt::Duplicate);
    }
    let (body, traceparent) = (json!({ "product": created.product }), TraceParent::current());
    effect::enqueue(tx, QUEUE, &New { id: charge_id, subject: id.to_string(), kind: CHARGE, body, traceparent }).await
}

impl From<What> for Wanted {
    fn from(what: What) -> Self {
        Self { what, traceparent: TraceParent::current() }
    }
}

impl Payments {
    async fn apply_one(&self, tx: &mut Transaction, what: &What) -> sqlx::Result<Receipt> {
        match what {
            What::Payment(created) => due(tx, created).await,
            What::Cancellation(order_id) => self.cancel(tx, *order_id).await.map(|()| Receipt::First),
        }
    }

    /// Takes the charge back if it was not tried, has it refunded if it was, and waits for its outcome if nobody knows that.
    async fn cancel(&self, tx: &mut Transaction, order_id: OrderId) -> sqlx::Result<()> {
        let Some(payment) = payments::lock_of_order(tx, order_id).await? else {
            // A person has discarded or skipped the event that would have made it.
            tracing::info!(order.id = %order_id, "a cancelled order has no payment");
            return Ok(());
        };
        let is_withdrawn = payment.state == State::Due
            && effect::withdraw(tx, payment.charge_id, "the order was cancelled").await? == Withdrawal::Withdrawn;
        let fact = if is_withdrawn { Fact::CancelledInTime } else { Fact::Cancelled };
        // No cancellation appends an event: a refund is told when it is done.
        advance(tx, &self.outbox, &payment, fact, Said::default()).await.map(drop).map_err(sqlx_error)
    }
}

/// What a transaction of the inbox can tell apart.
fn sqlx_error(error: anyhow::Error) -> sqlx::Error {
    error.downcast().unwrap_or_else(|error| sqlx::Error::Protocol(format!("{error:#}")))
}
