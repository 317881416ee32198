//! The outboxes against the inboxes and the notifications.

use std::collections::BTreeMap;

use schema::aggregate::AggregateId;
use schema::ids::OrderId;
use schema::payment::PaymentEventType;
use uuid::Uuid;

use crate::proof::claim::{Claim, by_aggregate, named, out_of_order};
use crate::proof::{Evidence, OutboxEvent};

pub(super) fn claims(evidence: &Evidence) -> [Claim; 4] {
    [received(evidence), notified(evidence), notified_in_order(evidence), emailed(evidence)]
}

fn received(evidence: &Evidence) -> Claim {
    let text = "each event is in the inbox of each service that reads it once, and nothing else is";
    let mut inboxes = vec![(&evidence.outbox, &evidence.inbox, "in the inbox of notify-svc")];
    if let Some(payments) = &evidence.payments {
        inboxes.push((&evidence.outbox, &payments.inbox, "in the inbox of payment-svc"));
        inboxes.push((&payments.outbox, &payments.told, "in the inbox of order-svc"));
        inboxes.push((&payments.outbox, &payments.heard, "in the inbox of the payments of notify-svc"));
    }
    let count = inboxes.iter().map(|(outbox, ..)| outbox.len()).sum();
    let wrong = inboxes.iter().flat_map(|(outbox, inbox, how)| compared(outbox.iter(), inbox.iter().copied(), how));
    Claim::new("received", text, count).except(wrong)
}

/// What customers hear of, each with its order: order events, and payments that were declined or refunded.
fn notable(evidence: &Evidence) -> impl Iterator<Item = (&OutboxEvent, AggregateId)> {
    let told = [PaymentEventType::Declined, PaymentEventType::Refunded].map(PaymentEventType::as_str);
    let payments = evidence.payments.iter().flat_map(|payments| &payments.outbox);
    let payments = payments.filter(move |event| told.contains(&event.event_type.as_str())).map(|event| {
        let order = event.payload["order_id"].as_str().and_then(|id| id.parse().ok());
        (event, OrderId(order.unwrap_or_default()).into())
    });
    evidence.outbox.iter().map(|event| (event, event.aggregate_id)).chain(payments)
}

fn notified(evidence: &Evidence) -> Claim {
    let text = "each event that a customer hears of has one notification, of its own type and of what its order says";
    let events: BTreeMap<Uuid, _> = notable(evidence).map(|(event, order)| (event.event_id, (event, order))).collect();
    let orders = by_aggregate(&evidence.orders);
    let wrong = evidence.notifications.iter().filter_map(|notification| {
        let (event, order) = events.get(&notification.event_id)?;
        let is_of_event = *order == notification.aggregate_id() && event.event_type == notification.event_type;
        let is_of_order = orders
            .get(order)
            .is_none_or(|order| (&notification.product, notification.quantity) == (&order.product, order.quantity));
        let is_right = is_of_event && is_of_order;
        (!is_right).then(|| format!("{} tells {notification:?}", named(event)))
    });
    let ids = evidence.notifications.iter().map(|notification| notification.event_id);
    Claim::new("notified", text, events.len())
        .except(compared(notable(evidence).map(|(event, _)| event), ids, "notified"))
        .except(wrong)
}

fn notified_in_order(evidence: &Evidence) -> Claim {
    let text = "the notifications of one order were written in the order of its versions";
    let versions: BTreeMap<Uuid, u32> =
        evidence.outbox.iter().filter_map(|event| Some((event.event_id, event.aggregate_version?))).collect();
    let notifications = evidence.notifications.iter().filter_map(|notification| {
        let version = *versions.get(&notification.event_id)?;
        let what = format!("version {version} is notification {} of {}", notification.id, notification.created_at);
        Some((notification.aggregate_id(), version, what))
    });
    Claim::new("notified_in_order", text, evidence.notifications.len()).except(out_of_order(notifications))
}

fn emailed(evidence: &Evidence) -> Claim {
    let claim = Claim::new("emailed", "each notification's email was sent", evidence.notifications.len());
    let unsent = evidence.notifications.iter().filter(|notification| notification.state != "sent");
    claim.except(unsent.map(|unsent| format!("the email of notification {} is {}", unsent.id, unsent.state)))
}

/// Each event once among these ids, and nothing else.
fn compared<'a>(
    events: impl Iterator<Item = &'a OutboxEvent>,
    ids: impl Iterator<Item = Uuid>,
    how: &str,
) -> Vec<String> {
    let mut found: BTreeMap<Uuid, usize> = BTreeMap::new();
    ids.for_each(|id| *found.entry(id).or_default() += 1);
    let wrong = events.filter_map(|event| match found.remove(&event.event_id) {
        None => Some(format!("{} is not {how}", named(event))),
        Some(1) => None,
        Some(count) => Some(format!("{} is {how} {count} times", named(event))),
    });
    let wrong: Vec<_> = wrong.collect();
    wrong.into_iter().chain(found.into_keys().map(|id| format!("event {id} is {how} and has no row"))).collect()
}
