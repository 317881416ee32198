//! Order events for a measurement: published as the relay would, and the rows that their effects are.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream;
use chrono::Utc;
use futures::future::try_join_all;
use schema::envelope::Envelope;
use schema::event::{OrderCancelled, OrderCreated, OrderEvent, SCHEMA_VERSION};
use schema::ids::{EventId, NotificationId, OrderId};
use schema::names;
use uuid::Uuid;

use crate::basket::Basket;

/// Every fifth event cancels the order of a hundred events before.
const CANCELLED_EVERY: u32 = 5;
const CANCELLED_AFTER: usize = 100;
const IN_FLIGHT: usize = 1000;

/// An event to be published.
pub(super) struct Event {
    envelope: Envelope,
    event: OrderEvent,
}

/// So many events of their orders, in order.
pub(super) fn make(count: u32) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for number in 0..count {
        let earlier = events.len().checked_sub(CANCELLED_AFTER).map(|index| &events[index]);
        let event = match earlier {
            Some(Event { event: OrderEvent::Created(created), .. }) if number % CANCELLED_EVERY == 0 => {
                cancelled(created.order_id)
            }
            _ => created(OrderId::generate()),
        };
        events.push(event);
    }
    events
}

fn created(order_id: OrderId) -> Event {
    let Basket { product, .. } = Basket::random();
    let placed_at = Utc::now();
    let created = OrderCreated { schema_version: SCHEMA_VERSION, order_id, product, quantity: 2, placed_at };
    Event::of(OrderEvent::Created(created), 1)
}

fn cancelled(order_id: OrderId) -> Event {
    let Basket { product, .. } = Basket::random();
    let cancelled_at = Utc::now();
    let (schema_version, quantity, cause) = (SCHEMA_VERSION, 2, None);
    let event = OrderCancelled { schema_version, order_id, product, quantity, cancelled_at, cause };
    Event::of(OrderEvent::Cancelled(event), 2)
}

impl Event {
    fn of(event: OrderEvent, version: u32) -> Self {
        let envelope = Envelope {
            event_id: EventId::generate(),
            source: names::ORDERS_SOURCE.to_owned(),
            event_type: event.event_type().to_string(),
            aggregate_type: names::ORDER.to_owned(),
            aggregate_id: event.order_id().into(),
            aggregate_version: NonZeroU32::new(version),
            occurred_at: Utc::now(),
        };
        Self { envelope, event }
    }
}

/// Publishes them in order.
pub(super) async fn publish(jetstream: &jetstream::Context, events: &[Event]) -> anyhow::Result<()> {
    for chunk in events.chunks(IN_FLIGHT) {
        let mut acknowledgements = Vec::with_capacity(chunk.len());
        for Event { envelope, event } in chunk {
            let mut headers = HeaderMap::new();
            for (name, value) in envelope.headers() {
                headers.insert(name, value.as_str());
            }
            let payload = event.payload()?.into();
            let sent = jetstream.publish_with_headers(envelope.event_type.clone(), headers, payload).await?;
            acknowledgements.push(sent.into_future());
        }
        try_join_all(acknowledgements).await.context("the broker did not store an event")?;
    }
    Ok(())
}

/// The statements that write the rows of these events' effects, as plainly as can be. `first` is the first one's place.
pub(super) fn statements(events: &[Event], first: usize) -> Vec<String> {
    let mut inbox =
        "INSERT INTO inbox (consumer, event_id, event_type, aggregate_type, aggregate_id, aggregate_version, \
                     payload_sha256, stream_seq) VALUES "
            .to_owned();
    let mut gates =
        "INSERT INTO inbox_gate (consumer, aggregate_type, aggregate_id, version, updated_at) VALUES ".to_owned();
    let mut notifications =
        "INSERT INTO notifications (id, event_id, event_type, order_id, product, quantity) VALUES ".to_owned();
    let mut emails = "INSERT INTO effect (id, queue, subject, kind, body) VALUES ".to_owned();
    for (index, Event { envelope, event }) in events.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (id, order, aggregate) = (hex(envelope.event_id.0), hex(event.order_id().0), envelope.aggregate_id);
        let (kind, version) = (event.event_type(), envelope.aggregate_version.map_or(0, NonZeroU32::get));
        let (digest, sequence) = (id.repeat(2), first + index + 1);
        let notification = hex(NotificationId::generate().0);
        let (OrderEvent::Created(OrderCreated { product, .. }) | OrderEvent::Cancelled(OrderCancelled { product, .. })) =
            event;
        let written =
            write!(inbox, "{comma}('b',x'{id}','{kind}','order','{aggregate}',{version},x'{digest}',{sequence})")
                .and_then(|()| write!(gates, "{comma}('b','order','{aggregate}',{version},UTC_TIMESTAMP(6))"))
                .and_then(|()| {
                    write!(notifications, "{comma}(x'{notification}',x'{id}','{kind}',x'{order}','{product}',2)")
                })
                .and_then(|()| {
                    let body = format!(r#"{{"product":"{product}","quantity":2}}"#);
                    write!(emails, "{comma}(x'{notification}','emails','{aggregate}','{kind}','{body}')")
                });
        written.expect("a String takes everything");
    }
    // The gate's row is there already when an order is cancelled.
    gates.push_str(" ON DUPLICATE KEY UPDATE version = VALUES(version), updated_at = VALUES(updated_at)");
    vec![inbox, gates, notifications, emails]
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}
