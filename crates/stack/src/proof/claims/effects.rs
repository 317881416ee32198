//! The outboxes against the inboxes, and that of the orders against the notifications.

use std::collections::BTreeMap;

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
    }
    let count = inboxes.iter().map(|(outbox, ..)| outbox.len()).sum();
    let wrong = inboxes.iter().flat_map(|(outbox, inbox, how)| compared(outbox, inbox.iter().copied(), how));
    Claim::new("received", text, count).except(wrong)
}

fn notified(evidence: &Evidence) -> Claim {
    let text = "each event has one notification, of its own type, to whom and of what its order says";
    let events: BTreeMap<Uuid, &OutboxEvent> = evidence.outbox.iter().map(|event| (event.event_id, event)).collect();
    let orders = by_aggregate(&evidence.orders);
    let wrong = evidence.notifications.iter().filter_map(|notification| {
        let event = events.get(&notification.event_id)?;
        let is_of_event =
            event.aggregate_id == notification.aggregate_id() && event.event_type == notification.event_type;
        let is_of_order = orders.get(&event.aggregate_id).is_none_or(|order| {
            let told = (&notification.recipient, &notification.product, notification.quantity);
            told == (&order.email, &order.product, order.quantity)
        });
        let is_right = is_of_event && is_of_order;
        (!is_right).then(|| format!("{} tells {notification:?}", named(event)))
    });
    let ids = evidence.notifications.iter().map(|notification| notification.event_id);
    Claim::new("notified", text, evidence.outbox.len())
        .except(compared(&evidence.outbox, ids, "notified"))
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

/// Each event of an outbox once among these ids, and nothing else.
fn compared(outbox: &[OutboxEvent], ids: impl Iterator<Item = Uuid>, how: &str) -> Vec<String> {
    let mut found: BTreeMap<Uuid, usize> = BTreeMap::new();
    ids.for_each(|id| *found.entry(id).or_default() += 1);
    let wrong = outbox.iter().filter_map(|event| match found.remove(&event.event_id) {
        None => Some(format!("{} is not {how}", named(event))),
        Some(1) => None,
        Some(count) => Some(format!("{} is {how} {count} times", named(event))),
    });
    let wrong: Vec<_> = wrong.collect();
    wrong.into_iter().chain(found.into_keys().map(|id| format!("event {id} is {how} and has no row"))).collect()
}
