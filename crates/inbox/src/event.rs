//! From message to event. Pure: what fails here fails for ever, so a message that is no event is dead.

use runtime::mysql::Receipt;
use runtime::telemetry::chain;
use schema::envelope::{self, Envelope};
use schema::ids::EventId;
use schema::{content, names};

use crate::handler::{Decision, Handler};
use crate::message::Message;
use crate::outcome::Outcome;
use crate::source::Source;

/// The body of every tombstone.
const TOMBSTONE_BODY: &[u8] = b"{}";

/// An event, with what the inbox keeps of it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its attributes.
    pub envelope: Envelope,
    /// What is made of its payload.
    pub kind: Kind,
    /// Of what the payload says, however it is spaced: distinguishes a repeat from another event under a used id.
    pub payload_sha256: [u8; 32],
}

/// What is made of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An effect.
    Handled,
    /// Nothing: the service does not handle its type, and only its version counts.
    Ignored,
    /// Nothing: a person discarded it, and only its version counts. Of whatever type it was.
    Tombstone,
}

/// An event that can be processed, with its effect if it has one.
#[derive(Clone, Debug)]
pub struct Work<E> {
    /// The event.
    pub event: Event,
    /// Its effect.
    pub effect: Option<E>,
}

/// What a message is to an inbox.
#[derive(Clone, Debug)]
pub enum Content<E> {
    /// An event of the source.
    Event(Work<E>),
    /// A message about another aggregate type: it is passed over.
    Foreign,
    /// Nothing that can be processed, for this reason.
    Dead(String),
}

/// Reads a message.
pub fn read<H: Handler>(message: &Message, source: &Source, handler: &H) -> Content<H::Effect> {
    let named = message.attribute(envelope::AGGREGATETYPE);
    if named.is_some_and(|aggregate_type| !aggregate_type.is_empty() && aggregate_type != source.aggregate_type) {
        return Content::Foreign;
    }
    let envelope = match Envelope::from_headers(|name| message.header(name)) {
        Ok(envelope) => envelope,
        Err(error) => return Content::Dead(format!("reading the envelope: {}", chain(&error))),
    };
    let payload_sha256 = content::digest(&message.payload);
    let work =
        |kind, effect, envelope| Content::Event(Work { event: Event { envelope, kind, payload_sha256 }, effect });
    if message.header(names::TOMBSTONE_HEADER) == Some(names::TOMBSTONE) {
        return work(Kind::Tombstone, None, envelope);
    }
    match handler.decide(&envelope, &message.payload) {
        Decision::Apply(effect) => work(Kind::Handled, Some(effect), envelope),
        Decision::Ignore => work(Kind::Ignored, None, envelope),
        Decision::Dead(reason) => Content::Dead(reason),
    }
}

impl Event {
    /// Whether the event that is recorded under this id, with this digest, is another one. A tombstone and the event that it
    /// stands for have one id and two bodies: whichever came first stays.
    pub fn is_in_conflict_with(&self, recorded_sha256: [u8; 32]) -> bool {
        let tombstone = content::digest(TOMBSTONE_BODY);
        let is_tombstone = self.kind == Kind::Tombstone || recorded_sha256 == tombstone;
        !is_tombstone && recorded_sha256 != self.payload_sha256
    }
}

impl<E> Work<E> {
    /// The event's id.
    pub fn event_id(&self) -> EventId {
        self.event.envelope.event_id
    }

    /// What it is when it has had its effect.
    pub fn applied(&self) -> Outcome {
        match self.event.kind {
            Kind::Handled => Outcome::Applied(Receipt::First),
            Kind::Ignored => Outcome::Ignored,
            Kind::Tombstone => Outcome::Tombstone,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::Utc;
    use runtime::mysql::Transaction;

    use super::*;
    use crate::handler::Applied;

    /// Has an effect for each event of a type `*.made`.
    #[derive(Clone, Debug)]
    struct Making;

    impl Handler for Making {
        type Effect = ();

        fn decide(&self, envelope: &Envelope, _: &[u8]) -> Decision<()> {
            if envelope.event_type.ends_with(".made") { Decision::Apply(()) } else { Decision::Ignore }
        }

        async fn apply(&self, _: &mut Transaction, _: &[&()]) -> sqlx::Result<Applied> {
            Ok(Applied::Done)
        }
    }

    fn message(change: impl FnOnce(&mut Envelope)) -> Message {
        let mut envelope = Envelope {
            event_id: EventId::generate(),
            source: "/here".to_owned(),
            event_type: "order.made".to_owned(),
            aggregate_type: "order".to_owned(),
            aggregate_id: "4711".parse().unwrap(),
            aggregate_version: None,
            occurred_at: Utc::now(),
        };
        change(&mut envelope);
        Message {
            subject: "order.made".to_owned(),
            headers: envelope.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            payload: Bytes::from_static(br#"{"a":1}"#),
            stream_sequence: 1,
            stored_at: Utc::now(),
            deliveries: 1,
        }
    }

    fn read(message: &Message) -> Content<()> {
        super::read(message, &Source::new("ORDERS", "test", "order"), &Making)
    }

    fn event(message: &Message) -> Event {
        match read(message) {
            Content::Event(work) => work.event,
            content => panic!("{content:?}"),
        }
    }

    #[test]
    fn the_handler_decides_what_has_an_effect() {
        assert_eq!(event(&message(|_| ())).kind, Kind::Handled);
        assert_eq!(event(&message(|envelope| envelope.event_type = "order.seen".to_owned())).kind, Kind::Ignored);
    }

    #[test]
    fn a_message_about_another_aggregate_is_foreign_whatever_else_it_has() {
        let mut invoice = message(|envelope| envelope.aggregate_type = "invoice".to_owned());
        assert!(matches!(read(&invoice), Content::Foreign));
        invoice.headers.retain(|(name, _)| name == envelope::AGGREGATETYPE);
        assert!(matches!(read(&invoice), Content::Foreign));
        invoice.headers.clear();
        assert!(matches!(read(&invoice), Content::Dead(reason) if reason.contains("ce-specversion is missing")));
    }

    #[test]
    fn a_tombstone_and_the_event_that_it_stands_for_are_no_conflict() {
        let (whole, mut discarded) = (message(|_| ()), message(|_| ()));
        discarded.headers.push((names::TOMBSTONE_HEADER.to_owned(), names::TOMBSTONE.to_owned()));
        discarded.payload = Bytes::from_static(TOMBSTONE_BODY);
        let (whole, tombstone) = (event(&whole), event(&discarded));
        assert_eq!(tombstone.kind, Kind::Tombstone);
        assert!(!whole.is_in_conflict_with(tombstone.payload_sha256));
        assert!(!tombstone.is_in_conflict_with(whole.payload_sha256));
        assert!(whole.is_in_conflict_with([0; 32]));
    }
}
