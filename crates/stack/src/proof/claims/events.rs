//! The orders against their outbox, and each outbox against its stream.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use schema::aggregate::AggregateId;
use schema::envelope::Envelope;
use schema::event::{CancelCause, EventType, OrderCancelled, OrderCreated, OrderEvent, SCHEMA_VERSION};
use schema::ids::{EventId, OrderId};
use serde_json::Value;
use uuid::Uuid;

use crate::proof::claim::{Claim, by_aggregate, list, named, out_of_order};
use crate::proof::{Evidence, Log, Order, OutboxEvent};

pub(super) fn claims(evidence: &Evidence) -> [Claim; 6] {
    [
        appended(evidence),
        truthful(evidence),
        settled(evidence),
        unspent(evidence),
        stored(evidence),
        stored_in_order(evidence),
    ]
}

fn appended(evidence: &Evidence) -> Claim {
    let text = "each order has its events in the outbox, versions 1, 2 and so on, and there are no others";
    let claim = Claim::new("appended", text, evidence.orders.len());
    let mut events: BTreeMap<AggregateId, Vec<(Option<u32>, &str)>> = BTreeMap::new();
    for event in &evidence.outbox {
        events.entry(event.aggregate_id).or_default().push((event.aggregate_version, &event.event_type));
    }
    let wrong = evidence.orders.iter().filter_map(|order| {
        let mut found = events.remove(&order.aggregate_id()).unwrap_or_default();
        found.sort_unstable();
        let types: &[&str] = match order.status.as_str() {
            "cancelled" => &["order.created", "order.cancelled"],
            _ => &["order.created"],
        };
        let wanted: Vec<_> = (1..).map(Some).zip(types.iter().copied()).collect();
        let wrong = found != wanted || order.version as usize != wanted.len();
        wrong.then(|| {
            format!("order {}, {} at version {}, has the events {found:?}", order.id, order.status, order.version)
        })
    });
    let wrong: Vec<_> = wrong.collect();
    let strangers = events.into_keys().map(|id| format!("order {id} has events and is not there"));
    claim.except(wrong.into_iter().chain(strangers))
}

fn truthful(evidence: &Evidence) -> Claim {
    let claim =
        Claim::new("truthful", "each event says what its order says, and when it happened", evidence.outbox.len());
    let orders = by_aggregate(&evidence.orders);
    claim.except(evidence.outbox.iter().filter_map(|event| {
        let order = orders.get(&event.aggregate_id)?;
        let cause = cause(event).filter(|_| order.payment == "declined");
        let (payload, occurred_at) = truth(order, event.event_type.parse().ok()?, cause);
        let is_true = event.payload.0 == payload && event.occurred_at == occurred_at;
        (!is_true)
            .then(|| format!("{} says {} of {}, and of {order:?}", named(event), event.payload.0, event.occurred_at))
    }))
}

/// Why an order was cancelled that nobody asked to cancel, as its event says.
pub(super) fn cause(event: &OutboxEvent) -> Option<CancelCause> {
    let cause = event.payload.0.get("cause")?;
    serde_json::from_value(cause.clone()).ok().filter(|cause| *cause == CancelCause::PaymentDeclined)
}

/// What an event of an order has to say, and when it happened.
fn truth(order: &Order, event_type: EventType, cause: Option<CancelCause>) -> (Value, DateTime<Utc>) {
    let order_id = OrderId(order.id);
    let Order { product, quantity, .. } = order.clone();
    let (event, occurred_at) = match event_type {
        EventType::OrderCreated => {
            let placed_at = order.created_at;
            let schema_version = SCHEMA_VERSION;
            (OrderEvent::Created(OrderCreated { schema_version, order_id, product, quantity, placed_at }), placed_at)
        }
        EventType::OrderCancelled => {
            let cancelled_at = order.updated_at;
            let schema_version = SCHEMA_VERSION;
            let event = OrderCancelled { schema_version, order_id, product, quantity, cancelled_at, cause };
            (OrderEvent::Cancelled(event), cancelled_at)
        }
    };
    let payload = event.payload().and_then(|text| serde_json::from_str(&text));
    (payload.expect("it was made a moment ago"), occurred_at)
}

fn settled(evidence: &Evidence) -> Claim {
    let claim = Claim::new("settled", "no event is pending, held or dead", evidence.events().count());
    let unsettled = evidence.events().filter(|event| ["pending", "held", "dead"].contains(&event.state.as_str()));
    claim.except(unsettled.map(|event| format!("{} is {}", named(event), event.state)))
}

fn unspent(evidence: &Evidence) -> Claim {
    let claim = Claim::new("unspent", "no outage cost an event an attempt", evidence.events().count());
    let spent = evidence.events().filter(|event| event.attempts > 0);
    claim.except(spent.map(|event| format!("{} has spent {} attempts", named(event), event.attempts)))
}

fn stored(evidence: &Evidence) -> Claim {
    let text = "each event is in its stream once, where and as its row says, and nothing else is";
    let claim = Claim::new("stored", text, evidence.events().count());
    let wrong = evidence.logs().into_iter().flat_map(stored_in);
    claim.except(wrong.chain(evidence.unreadable.iter().cloned()))
}

fn stored_in(log: Log<'_>) -> Vec<String> {
    let mut messages: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
    for message in log.stream {
        messages.entry(message.envelope.event_id.0).or_default().push(message);
    }
    let wrong = log.outbox.iter().filter_map(|event| {
        let found = messages.remove(&event.event_id).unwrap_or_default();
        match found[..] {
            [] => Some(format!("{} is not in the stream", named(event))),
            [message] if message.sequence != event.stream_seq => {
                Some(format!("{} is message {}, and its row says {}", named(event), message.sequence, event.stream_seq))
            }
            [message]
                if message.envelope != envelope(event, log)
                    || message.subject != event.event_type
                    || message.payload != event.payload.0 =>
            {
                Some(format!("message {} says something else than {}", message.sequence, named(event)))
            }
            [_] => None,
            _ => Some(format!("{} is the messages {}", named(event), list(found.iter().map(|found| found.sequence)))),
        }
    });
    let wrong: Vec<_> = wrong.collect();
    let strangers =
        messages.into_iter().flat_map(|(id, found)| found.into_iter().map(move |found| (id, found.sequence)));
    let strangers = strangers.map(|(id, sequence)| format!("message {sequence} is event {id}, which has no row"));
    wrong.into_iter().chain(strangers).collect()
}

/// What the message of an event of ours has around its payload.
fn envelope(event: &OutboxEvent, log: Log<'_>) -> Envelope {
    Envelope {
        event_id: EventId(event.event_id),
        source: log.source.to_owned(),
        event_type: event.event_type.clone(),
        aggregate_type: log.aggregate_type.to_owned(),
        aggregate_id: event.aggregate_id,
        aggregate_version: event.aggregate_version.and_then(NonZeroU32::new),
        occurred_at: event.occurred_at,
    }
}

fn stored_in_order(evidence: &Evidence) -> Claim {
    let text = "the events of one order or payment are in their stream in the order of their versions";
    let logs = evidence.logs();
    let messages = logs.iter().flat_map(|log| log.stream).map(|message| {
        let version = message.envelope.aggregate_version.map_or(0, u32::from);
        (message.envelope.aggregate_id, version, format!("version {version} is message {}", message.sequence))
    });
    let count = logs.iter().map(|log| log.stream.len()).sum();
    Claim::new("stored_in_order", text, count).except(out_of_order(messages))
}
