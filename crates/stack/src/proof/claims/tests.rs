//! Sound evidence, and what is said when it is broken.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use schema::aggregate::AggregateId;
use schema::envelope::Envelope;
use schema::ids::EventId;
use serde_json::{Value, json};
use sqlx::types::Json;
use uuid::Uuid;

use super::*;
use crate::proof::{Cancel, Key, Message, Notification, Order, OutboxEvent};

/// Two orders, the second one cancelled, and all that comes of them.
pub(super) fn sound() -> (Vec<Asked>, Evidence) {
    let (mut asked, mut evidence) = (Vec::new(), Evidence::default());
    for (key, types) in [("one", &["order.created"][..]), ("two", &["order.created", "order.cancelled"])] {
        let placed = Order {
            id: Uuid::now_v7(),
            product: key.into(),
            quantity: 2,
            email: format!("{key}@example.com"),
            status: "placed".into(),
            payment: "due".into(),
            version: 1,
            created_at: at(1),
            updated_at: at(1),
        };
        let is_cancelled = types.len() == 2;
        let cancelled = Order { status: "cancelled".into(), version: 2, updated_at: at(2), ..placed.clone() };
        asked.push(Asked {
            key: key.into(),
            product: key.into(),
            quantity: placed.quantity,
            email: placed.email.clone(),
            orders: [placed.clone()].into(),
            cancel: if is_cancelled { Cancel::Done(cancelled.clone()) } else { Cancel::Unasked },
            oddities: BTreeSet::new(),
        });
        evidence.keys.push(Key { idempotency_key: key.into(), order_id: placed.id });
        (1..).zip(types).for_each(|(version, event_type)| add_event(&mut evidence, &placed, version, event_type));
        evidence.orders.push(if is_cancelled { cancelled } else { placed });
    }
    (asked, evidence)
}

pub(super) fn at(second: u32) -> DateTime<Utc> {
    format!("2026-11-22T11:30:{second:02}Z").parse().unwrap()
}

fn payload(order: &Order, time: &str, occurred_at: DateTime<Utc>) -> Value {
    let Order { id, product, quantity, .. } = order;
    let mut payload = json!({ "schema_version": 1, "order_id": id, "product": product, "quantity": quantity });
    payload[time] = json!(occurred_at);
    payload
}

pub(super) fn add_event(evidence: &mut Evidence, order: &Order, version: u32, event_type: &str) {
    let time = if version == 1 { "placed_at" } else { "cancelled_at" };
    let (of, payload) = ((order.aggregate_id(), version), payload(order, time, at(version)));
    let event_id = append(&mut evidence.outbox, &mut evidence.stream, of, event_type, payload);
    evidence.inbox.push(event_id);
    evidence.notifications.push(notification(order, event_id, event_type));
}

/// Its customer was told.
pub(super) fn notification(order: &Order, event_id: Uuid, event_type: &str) -> Notification {
    Notification {
        id: Uuid::now_v7(),
        event_id,
        event_type: event_type.into(),
        order_id: order.id,
        product: order.product.clone(),
        quantity: order.quantity,
        state: "sent".into(),
        created_at: at(3),
    }
}

/// An event of a version of an order or payment, published.
pub(super) fn append(
    outbox: &mut Vec<OutboxEvent>,
    stream: &mut Vec<Message>,
    (aggregate_id, version): (AggregateId, u32),
    event_type: &str,
    payload: Value,
) -> Uuid {
    let (event_id, occurred_at, stream_seq) = (Uuid::now_v7(), at(version), stream.len() as u64 + 1);
    outbox.push(OutboxEvent {
        event_id,
        aggregate_id,
        aggregate_version: Some(version),
        event_type: event_type.into(),
        payload: Json(payload.clone()),
        occurred_at,
        state: "published".into(),
        attempts: 0,
        stream_seq,
    });
    let aggregate_type = event_type.split('.').next().unwrap();
    let envelope = Envelope {
        event_id: EventId(event_id),
        source: format!("/web-store/{aggregate_type}s"),
        event_type: event_type.into(),
        aggregate_type: aggregate_type.into(),
        aggregate_id,
        aggregate_version: NonZeroU32::new(version),
        occurred_at,
    };
    stream.push(Message { sequence: stream_seq, subject: event_type.into(), envelope, payload });
    event_id
}

pub(super) fn violated(asked: &[Asked], evidence: &Evidence) -> Vec<(&'static str, String)> {
    let claims = check(asked, evidence).into_iter().filter(|claim| !claim.holds());
    claims.map(|claim| (claim.name, claim.violations.join("; "))).collect()
}

#[test]
fn nothing_speaks_against_sound_evidence() {
    let (asked, evidence) = sound();
    assert_eq!(violated(&asked, &evidence), []);
    assert!(check(&asked, &evidence).iter().all(|claim| claim.checked > 0), "a claim was checked for nothing");
}

type Break = (&'static str, fn(&mut Vec<Asked>, &mut Evidence), &'static [&'static str]);

/// What is done to the evidence of the second order, or of its second event, and the claims that it violates.
const BREAKS: &[Break] = &[
    ("an answer that never came", |asked, _| asked[1].orders.clear(), &["answered", "cancelled"]),
    ("a cancel that was not answered", |asked, _| asked[1].cancel = Cancel::Unanswered, &["answered"]),
    ("a lost order", |_, evidence| drop(evidence.orders.pop()), &["placed", "placed_once", "cancelled", "appended"]),
    (
        "an order of something else",
        |_, evidence| evidence.orders[1].product = "three".into(),
        &["placed", "cancelled", "truthful", "notified"],
    ),
    (
        "more of it than was asked for",
        |_, evidence| evidence.orders[1].quantity = 3,
        &["placed", "cancelled", "truthful", "notified"],
    ),
    (
        "an order of somebody else",
        |_, evidence| evidence.orders[1].email = "one@example.com".into(),
        &["placed", "placed_once", "cancelled"],
    ),
    (
        "an order of another time",
        |_, evidence| evidence.orders[1].created_at = at(0),
        &["placed", "cancelled", "truthful"],
    ),
    ("a cancel of another time", |_, evidence| evidence.orders[1].updated_at = at(9), &["cancelled", "truthful"]),
    ("an answer of something else", |asked, _| change_answer(asked, |answer| answer.quantity = 3), &["placed"]),
    ("an answer of another state", |asked, _| change_answer(asked, |answer| answer.version = 2), &["placed"]),
    (
        "an answer to a cancel that says something else",
        |asked, _| asked[1].cancel = Cancel::Done(asked[1].orders.first().unwrap().clone()),
        &["cancelled"],
    ),
    (
        "an order twice",
        |_, evidence| twice(&mut evidence.orders, |order| order.id = Uuid::nil()),
        &["placed_once", "cancelled", "appended"],
    ),
    ("an order that nobody wanted", |asked, _| drop(asked.pop()), &["placed_once", "cancelled"]),
    ("a cancel undone", |_, evidence| evidence.orders[1].status = "placed".into(), &["cancelled", "appended"]),
    ("a cancel that nobody wanted", |asked, _| asked[1].cancel = Cancel::Unasked, &["cancelled"]),
    ("a lost outbox row", |_, evidence| drop(evidence.outbox.pop()), &["appended", "stored", "received", "notified"]),
    ("a gap in the versions", |_, evidence| evidence.outbox[2].aggregate_version = Some(3), &["appended", "stored"]),
    ("an event that waits", |_, evidence| evidence.outbox[2].state = "pending".into(), &["settled"]),
    ("a dead event", |_, evidence| evidence.outbox[2].state = "dead".into(), &["settled"]),
    ("an attempt spent", |_, evidence| evidence.outbox[2].attempts = 1, &["unspent"]),
    ("a lost message", |_, evidence| drop(evidence.stream.pop()), &["stored"]),
    (
        "a message twice",
        |_, evidence| twice(&mut evidence.stream, |message| message.sequence = 4),
        &["stored", "stored_in_order"],
    ),
    (
        "an event of something else",
        |_, evidence| evidence.outbox[2].payload.0["quantity"] = json!(3),
        &["truthful", "stored"],
    ),
    (
        "an event and its message that tell an address",
        |_, evidence| {
            evidence.outbox[2].payload.0["email"] = json!("two@example.com");
            evidence.stream[2].payload["email"] = json!("two@example.com");
        },
        &["truthful"],
    ),
    ("an event of another time", |_, evidence| evidence.outbox[2].occurred_at = at(9), &["truthful", "stored"]),
    ("a message of another time", |_, evidence| evidence.stream[2].envelope.occurred_at = at(9), &["stored"]),
    ("a message from elsewhere", |_, evidence| evidence.stream[2].envelope.source = "/eve".into(), &["stored"]),
    ("a message elsewhere", |_, evidence| evidence.stream[2].sequence = 9, &["stored"]),
    ("another body", |_, evidence| evidence.stream[2].payload = json!({}), &["stored"]),
    ("versions swapped in the stream", |_, evidence| evidence.stream.swap(1, 2), &["stored_in_order"]),
    ("a lost inbox row", |_, evidence| evidence.inbox.truncate(2), &["received"]),
    ("a lost notification", |_, evidence| drop(evidence.notifications.pop()), &["notified"]),
    (
        "a notification twice",
        |_, evidence| twice(&mut evidence.notifications, |_| ()),
        &["notified", "notified_in_order"],
    ),
    ("a notification of more", |_, evidence| evidence.notifications[2].quantity = 3, &["notified"]),
    ("a notification of something else", |_, evidence| evidence.notifications[2].product = "tea".into(), &["notified"]),
    ("notifications out of order", |_, evidence| evidence.notifications.swap(1, 2), &["notified_in_order"]),
    ("an email that was not sent", |_, evidence| evidence.notifications[2].state = "dead".into(), &["emailed"]),
];

fn change_answer(asked: &mut [Asked], change: fn(&mut Order)) {
    let mut answer = asked[1].orders.pop_first().unwrap();
    change(&mut answer);
    asked[1].orders.insert(answer);
}

pub(super) fn twice<T: Clone>(things: &mut Vec<T>, change: fn(&mut T)) {
    let mut again = things.last().unwrap().clone();
    change(&mut again);
    things.push(again);
}

#[test]
fn whatever_is_broken_violates_its_claims_and_is_named() {
    for (what, break_it, claims) in BREAKS {
        let (mut asked, mut evidence) = sound();
        let (order, event) = (evidence.orders[1].clone(), evidence.outbox[2].event_id.to_string());
        let notification = evidence.notifications[2].id.to_string();
        let names = [order.id.to_string(), order.product, event, notification, Uuid::nil().to_string()];
        break_it(&mut asked, &mut evidence);
        let found = violated(&asked, &evidence);
        assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), *claims, "{what}: {found:?}");
        let is_named = |text: &String| names.iter().any(|name| text.contains(name));
        assert!(found.iter().all(|(_, text)| is_named(text)), "{what} is not named: {found:?}");
    }
}
