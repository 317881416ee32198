//! What a payment event comes to here: a notification of a payment that was declined or refunded, to the customer of the order.
//!
//! The event names the order alone: what was ordered is known from what was notified of the order before. The two streams
//! are not ordered between each other, so an event that comes first is parked until the order is known.

use effect::Wake;
use inbox::{Applied, Decision, Handler, Source};
use runtime::mysql::Transaction;
use runtime::telemetry::chain;
use runtime::telemetry::trace::TraceParent;
use schema::envelope::Envelope;
use schema::event::DecodeError;
use schema::ids::{EventId, NotificationId, OrderId};
use schema::names;
use schema::payment::{PaymentEvent, PaymentEventType};

use crate::notification::{NewNotification, Topic};
use crate::store::notifications;
use crate::tell;

/// The payment events on a stream.
pub fn source(stream: &str) -> Source {
    Source::new(stream, names::NOTIFY_PAYMENTS_DURABLE, names::PAYMENT)
}

/// Makes notifications of payment events.
#[derive(Clone, Debug, Default)]
pub struct Payments {
    /// Wakes the email queue after a commit.
    pub email_wake: Wake,
}

/// What the customer of an order is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    id: NotificationId,
    event_id: EventId,
    order_id: OrderId,
    topic: Topic,
    traceparent: Option<TraceParent>,
}

impl Handler for Payments {
    type Effect = Told;

    fn decide(&self, envelope: &Envelope, payload: &[u8]) -> Decision<Told> {
        let event = match PaymentEvent::decode(&envelope.event_type, payload) {
            Ok(event) => event,
            Err(DecodeError::UnknownType(_)) => return Decision::Ignore,
            Err(error) => return Decision::Dead(format!("decoding the payload: {}", chain(&error))),
        };
        let topic = match event.event_type() {
            // The customer was told of the order.
            PaymentEventType::Authorized => return Decision::Ignore,
            PaymentEventType::Declined => Topic::PaymentDeclined,
            PaymentEventType::Refunded => Topic::PaymentRefunded,
        };
        let (id, event_id, traceparent) = (NotificationId::generate(), envelope.event_id, TraceParent::current());
        Decision::Apply(Told { id, event_id, order_id: event.order_id(), topic, traceparent })
    }

    async fn apply(&self, tx: &mut Transaction, effects: &[&Told]) -> sqlx::Result<Applied> {
        let mut told = Vec::with_capacity(effects.len());
        for Told { id, event_id, order_id, topic, traceparent } in effects.iter().copied().cloned() {
            let Some(ordered) = notifications::ordered(tx, order_id).await? else { return Ok(Applied::Later) };
            let notifications::Ordered { product, quantity } = ordered;
            told.push(NewNotification { id, event_id, topic, order_id, product, quantity, traceparent });
        }
        tell::write(tx, &told.iter().collect::<Vec<_>>()).await
    }

    fn committed(&self) {
        self.email_wake.hint();
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn decide(event_type: PaymentEventType, payload: &str) -> Decision<Told> {
        let envelope = Envelope {
            event_id: EventId::generate(),
            source: names::PAYMENTS_SOURCE.to_owned(),
            event_type: event_type.to_string(),
            aggregate_type: names::PAYMENT.to_owned(),
            aggregate_id: "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10".parse().unwrap(),
            aggregate_version: None,
            occurred_at: Utc::now(),
        };
        Payments::default().decide(&envelope, payload.as_bytes())
    }

    #[test]
    fn a_customer_is_told_of_a_payment_that_is_declined_or_refunded_and_of_no_other() {
        let authorized = include_str!("../../schema/events/payment.authorized.example.json");
        assert_eq!(decide(PaymentEventType::Authorized, authorized), Decision::Ignore);
        let declined = include_str!("../../schema/events/payment.declined.example.json");
        let refunded = include_str!("../../schema/events/payment.refunded.example.json");
        let topic = |decision| match decision {
            Decision::Apply(Told { topic, .. }) => topic,
            decision => panic!("{decision:?}"),
        };
        assert_eq!(topic(decide(PaymentEventType::Declined, declined)), Topic::PaymentDeclined);
        assert_eq!(topic(decide(PaymentEventType::Refunded, refunded)), Topic::PaymentRefunded);
        assert!(matches!(decide(PaymentEventType::Declined, "{}"), Decision::Dead(_)));
    }
}
