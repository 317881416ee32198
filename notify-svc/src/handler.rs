//! What an order event comes to here: a notification.

use effect::Wake;
use inbox::{Applied, Decision, Handler, Source};
use runtime::mysql::Transaction;
use runtime::telemetry::chain;
use schema::aggregate::AggregateId;
use schema::envelope::Envelope;
use schema::event::{DecodeError, OrderEvent};
use schema::names;

use crate::notification::NewNotification;
use crate::tell;

/// The order events, and the name under which they are read.
pub fn source() -> Source {
    Source::new(names::STREAM, names::NOTIFY_DURABLE, names::ORDER)
}

/// Makes notifications of order events.
#[derive(Clone, Debug, Default)]
pub struct Notifications {
    /// Wakes the email queue after a commit.
    pub email_wake: Wake,
}

impl Handler for Notifications {
    type Effect = NewNotification;

    fn decide(&self, envelope: &Envelope, payload: &[u8]) -> Decision<NewNotification> {
        let event = match OrderEvent::decode(&envelope.event_type, payload) {
            Ok(event) => event,
            Err(DecodeError::UnknownType(_)) => return Decision::Ignore,
            Err(error) => return Decision::Dead(format!("decoding the payload: {}", chain(&error))),
        };
        // The version gate would guard the wrong order.
        let order_id = event.order_id();
        if AggregateId::from(order_id) != envelope.aggregate_id {
            let about = envelope.aggregate_id;
            return Decision::Dead(format!("the payload is about order {order_id}, the envelope about {about}"));
        }
        match NewNotification::of(envelope.event_id, &event) {
            Ok(notification) => Decision::Apply(notification),
            Err(error) => Decision::Dead(error.to_string()),
        }
    }

    async fn apply(&self, tx: &mut Transaction, effects: &[&NewNotification]) -> sqlx::Result<Applied> {
        tell::write(tx, effects).await
    }

    fn committed(&self) {
        self.email_wake.hint();
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use schema::event::EventType;
    use schema::ids::EventId;

    use super::*;
    use crate::notification::Topic;

    const CREATED: &str = include_str!("../../schema/events/order.created.example.json");

    fn envelope() -> Envelope {
        Envelope {
            event_id: EventId::generate(),
            source: names::ORDERS_SOURCE.to_owned(),
            event_type: EventType::OrderCreated.to_string(),
            aggregate_type: names::ORDER.to_owned(),
            aggregate_id: "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10".parse().unwrap(),
            aggregate_version: None,
            occurred_at: Utc::now(),
        }
    }

    fn decide(envelope: &Envelope, payload: &str) -> Decision<NewNotification> {
        Notifications::default().decide(envelope, payload.as_bytes())
    }

    fn reason(envelope: &Envelope, payload: &str) -> String {
        match decide(envelope, payload) {
            Decision::Dead(reason) => reason,
            decision => panic!("{decision:?}"),
        }
    }

    #[test]
    fn the_example_event_is_notified() {
        let Decision::Apply(notification) = decide(&envelope(), CREATED) else { panic!("not applied") };
        assert_eq!(notification.topic, Topic::OrderCreated);
    }

    #[test]
    fn a_type_that_is_not_ours_is_ignored() {
        let shipped = Envelope { event_type: "order.shipped".to_owned(), ..envelope() };
        assert_eq!(decide(&shipped, "not even JSON"), Decision::Ignore);
    }

    #[test]
    fn a_reason_names_its_cause() {
        let future = CREATED.replace(r#""schema_version": 1"#, r#""schema_version": 9"#);
        assert_eq!(reason(&envelope(), &future), "decoding the payload: unknown schema version 9, expected 1");
        let another = Envelope { aggregate_id: "4711".parse().unwrap(), ..envelope() };
        assert!(reason(&another, CREATED).contains("the envelope about 4711"));
    }
}
