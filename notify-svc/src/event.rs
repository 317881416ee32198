//! From message to event. Pure: what fails here fails for ever, so a message that is no event is dead.

use runtime::telemetry::chain;
use schema::aggregate::AggregateId;
use schema::envelope::{Envelope, EnvelopeError};
use schema::event::{DecodeError, OrderEvent};
use schema::ids::OrderId;
use schema::{content, names};

use crate::message::Message;

/// The body of every tombstone.
const TOMBSTONE_BODY: &[u8] = b"{}";

/// An event of an order, with what the inbox keeps of it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its attributes.
    pub envelope: Envelope,
    /// What it says.
    pub content: Content,
    /// Of what the payload says, however it is spaced: distinguishes a repeat from another event under a used id.
    pub payload_sha256: [u8; 32],
}

/// What an event says.
#[derive(Clone, Debug)]
pub enum Content {
    /// What happened to the order.
    Order(OrderEvent),
    /// Nothing: a person discarded the event, and only its version counts. Of whatever type it was.
    Tombstone,
}

/// Why a message is no event for this service.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// The headers are no envelope.
    #[error("reading the envelope")]
    Envelope(#[from] EnvelopeError),
    /// The payload is no event that this code knows.
    #[error("decoding the payload")]
    Payload(#[from] DecodeError),
    /// The envelope names another kind of aggregate.
    #[error("aggregate type {0:?} is not {order:?}", order = names::ORDER)]
    AggregateType(String),
    /// Envelope and payload disagree: the version gate would guard the wrong order.
    #[error("the payload is about order {payload}, the envelope about {envelope}")]
    Order {
        /// `order_id` of the payload.
        payload: OrderId,
        /// `ce-subject`.
        envelope: AggregateId,
    },
}

impl Event {
    /// Decodes a message.
    ///
    /// # Errors
    /// See [`Undecodable`].
    pub fn decode(message: &Message) -> Result<Self, Undecodable> {
        let envelope = Envelope::from_headers(|name| message.header(name))?;
        if envelope.aggregate_type != names::ORDER {
            return Err(Undecodable::AggregateType(envelope.aggregate_type));
        }
        let payload_sha256 = content::digest(&message.payload);
        if message.header(names::TOMBSTONE_HEADER) == Some(names::TOMBSTONE) {
            return Ok(Self { envelope, content: Content::Tombstone, payload_sha256 });
        }
        let order_event = OrderEvent::decode(&envelope.event_type, &message.payload)?;
        let order_id = order_event.order_id();
        if AggregateId::from(order_id) != envelope.aggregate_id {
            return Err(Undecodable::Order { payload: order_id, envelope: envelope.aggregate_id });
        }
        Ok(Self { envelope, content: Content::Order(order_event), payload_sha256 })
    }

    /// Whether the event that is recorded under this id, with this digest, is another one. A tombstone and the event that it
    /// stands for have one id and two bodies: whichever came first stays.
    pub fn is_in_conflict_with(&self, recorded_sha256: [u8; 32]) -> bool {
        let tombstone = content::digest(TOMBSTONE_BODY);
        let is_tombstone = matches!(self.content, Content::Tombstone) || recorded_sha256 == tombstone;
        !is_tombstone && recorded_sha256 != self.payload_sha256
    }
}

impl Undecodable {
    /// The reason in one line, with its causes.
    pub fn reason(&self) -> String {
        chain(self)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::Utc;
    use schema::event::EventType;
    use schema::ids::EventId;

    use super::*;

    const CREATED: &str = include_str!("../../schema/events/order.created.example.json");

    fn message(payload: &str, change: impl FnOnce(&mut Envelope)) -> Message {
        let mut envelope = Envelope {
            event_id: EventId::generate(),
            source: names::ORDERS_SOURCE.to_owned(),
            event_type: EventType::OrderCreated.to_string(),
            aggregate_type: names::ORDER.to_owned(),
            aggregate_id: "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10".parse().unwrap(),
            aggregate_version: None,
            occurred_at: Utc::now(),
        };
        change(&mut envelope);
        Message {
            subject: "order.created".to_owned(),
            headers: envelope.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            payload: Bytes::from(payload.to_owned()),
            stream_sequence: 1,
            stored_at: Utc::now(),
            deliveries: 1,
        }
    }

    fn reason(message: &Message) -> String {
        Event::decode(message).unwrap_err().reason()
    }

    #[test]
    fn the_example_event_is_decoded() {
        let event = Event::decode(&message(CREATED, |_| ())).unwrap();
        assert!(matches!(event.content, Content::Order(event) if event.event_type() == EventType::OrderCreated));
    }

    #[test]
    fn a_tombstone_needs_an_envelope_and_no_payload() {
        let mut message = message("{}", |envelope| envelope.event_type = "order.shipped".to_owned());
        assert!(Event::decode(&message).is_err());
        message.headers.push((names::TOMBSTONE_HEADER.to_owned(), "true".to_owned()));
        let tombstone = Event::decode(&message).unwrap();
        assert!(matches!(tombstone.content, Content::Tombstone));
        let event = Event::decode(&self::message(CREATED, |_| ())).unwrap();
        assert!(
            !event.is_in_conflict_with(tombstone.payload_sha256)
                && !tombstone.is_in_conflict_with(event.payload_sha256)
        );
        assert!(event.is_in_conflict_with([0; 32]));
    }

    #[test]
    fn a_reason_names_its_cause() {
        let unknown = message(CREATED, |envelope| envelope.event_type = "order.shipped".to_owned());
        assert_eq!(reason(&unknown), r#"decoding the payload: unknown event type "order.shipped""#);
        let future = message(&CREATED.replace(r#""schema_version": 1"#, r#""schema_version": 9"#), |_| ());
        assert_eq!(reason(&future), "decoding the payload: unknown schema version 9, expected 1");
        let bare = Message { headers: Vec::new(), ..future };
        assert_eq!(reason(&bare), "reading the envelope: header ce-specversion is missing");
    }

    #[test]
    fn an_event_of_another_aggregate_is_refused() {
        let invoice = message(CREATED, |envelope| envelope.aggregate_type = "invoice".to_owned());
        assert_eq!(reason(&invoice), r#"aggregate type "invoice" is not "order""#);
        let another = message(CREATED, |envelope| envelope.aggregate_id = "4711".parse().unwrap());
        assert!(reason(&another).contains("the envelope about 4711"));
    }
}
