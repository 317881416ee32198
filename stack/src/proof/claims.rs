//! The claims, each compared with the evidence as far as it goes. Everything here is pure.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::Serialize;
use uuid::Uuid;

use super::{Asked, Cancel, Evidence, Order, OutboxEvent};

/// One claim, and what speaks against it.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// For scripts.
    pub name: &'static str,
    /// What is claimed.
    pub text: &'static str,
    /// How many things it was checked for.
    pub checked: usize,
    /// What violates it: each names ids.
    pub violations: Vec<String>,
}

impl Claim {
    /// A claim that nothing speaks against so far.
    #[must_use]
    pub fn new(name: &'static str, text: &'static str, checked: usize) -> Claim {
        Claim { name, text, checked, violations: Vec::new() }
    }

    /// Whether nothing speaks against it.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }

    /// Adds what speaks against it.
    #[must_use]
    pub fn except(mut self, violations: impl IntoIterator<Item = String>) -> Claim {
        self.violations.extend(violations);
        self
    }
}

/// Compares what is there with what customers were told. The pipeline has to be at rest.
#[must_use]
pub fn check(asked: &[Asked], evidence: &Evidence) -> Vec<Claim> {
    let customers =
        [answered(asked), placed(asked, evidence), placed_once(asked, evidence), cancelled(asked, evidence)];
    let outbox = [appended(evidence), settled(evidence), unspent(evidence)];
    let stream = [stored(evidence), stored_in_order(evidence)];
    let effects = [received(evidence), notified(evidence), notified_in_order(evidence), emailed(evidence)];
    customers.into_iter().chain(outbox).chain(stream).chain(effects).collect()
}

fn answered(asked: &[Asked]) -> Claim {
    let claim = Claim::new("answered", "each request got its answer in the end, and no answer was odd", asked.len());
    claim.except(asked.iter().flat_map(|asked| {
        let unplaced = asked.orders.is_empty().then(|| format!("{} was never answered", asked.key));
        let uncancelled = asked.cancel == Cancel::Unanswered;
        let uncancelled = uncancelled.then(|| format!("the wish to cancel {} was never answered", asked.key));
        let odd = asked.oddities.iter().map(|odd| format!("{} was answered {odd}", asked.key));
        unplaced.into_iter().chain(uncancelled).chain(odd)
    }))
}

fn placed(asked: &[Asked], evidence: &Evidence) -> Claim {
    let orders = by_id(&evidence.orders);
    let told = || asked.iter().flat_map(|asked| asked.orders.iter().map(move |order| (asked, order)));
    let claim = Claim::new("placed", "each order that was answered 201 is there, as it was asked for", told().count());
    claim.except(told().filter_map(|(asked, id)| match orders.get(id) {
        None => Some(format!("order {id} ({}) is not there", asked.key)),
        Some(order) if order.product != asked.key => {
            Some(format!("order {id} is of {:?}, and {:?} was asked for", order.product, asked.key))
        }
        Some(_) => None,
    }))
}

fn placed_once(asked: &[Asked], evidence: &Evidence) -> Claim {
    let text = "no Idempotency-Key placed two orders, and nobody's wish placed any";
    let claim = Claim::new("placed_once", text, asked.len());
    let known: BTreeMap<&str, &Asked> = asked.iter().map(|asked| (asked.key.as_str(), asked)).collect();
    let twice = repeated(evidence.orders.iter().map(|order| order.product.as_str()))
        .map(|(key, count)| format!("{key} placed {count} orders"));
    let told_twice = asked.iter().filter(|asked| asked.orders.len() > 1);
    let told_twice =
        told_twice.map(|asked| format!("{} was answered with the orders {}", asked.key, list(&asked.orders)));
    let unasked = evidence.orders.iter().filter(|order| !known.contains_key(order.product.as_str()));
    let unasked = unasked.map(|order| format!("nobody asked for order {} ({})", order.id, order.product));
    let orders = by_id(&evidence.orders);
    let astray = evidence.keys.iter().filter_map(|key| match orders.get(&key.order_id) {
        None => Some(format!("key {} names order {}, which is not there", key.idempotency_key, key.order_id)),
        Some(order) if order.product.replace(' ', "-") != key.idempotency_key => {
            Some(format!("key {} names order {} of {}", key.idempotency_key, order.id, order.product))
        }
        Some(_) => None,
    });
    claim.except(twice.chain(told_twice).chain(unasked).chain(astray))
}

fn cancelled(asked: &[Asked], evidence: &Evidence) -> Claim {
    let text = "each order whose cancelling was answered 200 is cancelled, and no other unless it was asked for";
    let orders = by_id(&evidence.orders);
    let wishes: BTreeMap<Uuid, Cancel> =
        asked.iter().flat_map(|asked| asked.orders.iter().map(|order| (*order, asked.cancel))).collect();
    let done = || wishes.iter().filter(|(_, wish)| **wish == Cancel::Done).map(|(id, _)| id);
    let claim = Claim::new("cancelled", text, done().count());
    let undone = done().filter(|id| orders.get(id).is_none_or(|order| order.status != "cancelled"));
    let undone = undone.map(|id| format!("order {id} is not cancelled"));
    let unasked = evidence.orders.iter().filter(|order| {
        order.status == "cancelled" && wishes.get(&order.id).is_none_or(|wish| *wish == Cancel::Unasked)
    });
    claim.except(undone.chain(unasked.map(|order| format!("nobody asked to cancel order {}", order.id))))
}

fn appended(evidence: &Evidence) -> Claim {
    let text = "each order has its events in the outbox, versions 1, 2 and so on, and there are no others";
    let claim = Claim::new("appended", text, evidence.orders.len());
    let mut events: BTreeMap<Uuid, Vec<(Option<u32>, &str)>> = BTreeMap::new();
    for event in &evidence.outbox {
        events.entry(event.aggregate_id).or_default().push((event.aggregate_version, &event.event_type));
    }
    let wrong = evidence.orders.iter().filter_map(|order| {
        let mut found = events.remove(&order.id).unwrap_or_default();
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

fn settled(evidence: &Evidence) -> Claim {
    let claim = Claim::new("settled", "no event is pending, held or dead", evidence.outbox.len());
    let unsettled = evidence.outbox.iter().filter(|event| ["pending", "held", "dead"].contains(&event.state.as_str()));
    claim.except(unsettled.map(|event| format!("{} is {}", named(event), event.state)))
}

fn unspent(evidence: &Evidence) -> Claim {
    let claim = Claim::new("unspent", "no outage cost an event an attempt", evidence.outbox.len());
    let spent = evidence.outbox.iter().filter(|event| event.attempts > 0);
    claim.except(spent.map(|event| format!("{} has spent {} attempts", named(event), event.attempts)))
}

fn stored(evidence: &Evidence) -> Claim {
    let text = "each event is in the stream once, where and as its row says, and nothing else is";
    let claim = Claim::new("stored", text, evidence.outbox.len());
    let mut messages: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
    for message in &evidence.stream {
        messages.entry(message.envelope.event_id.0).or_default().push(message);
    }
    let wrong = evidence.outbox.iter().filter_map(|event| {
        let found = messages.remove(&event.event_id).unwrap_or_default();
        match found[..] {
            [] => Some(format!("{} is not in the stream", named(event))),
            [message] if message.sequence != event.stream_seq => {
                Some(format!("{} is message {}, and its row says {}", named(event), message.sequence, event.stream_seq))
            }
            [message]
                if message.envelope.aggregate_id != event.aggregate_id
                    || message.envelope.aggregate_version.map(u32::from) != event.aggregate_version
                    || message.envelope.event_type != event.event_type
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
    claim.except(wrong.into_iter().chain(strangers).chain(evidence.unreadable.iter().cloned()))
}

fn stored_in_order(evidence: &Evidence) -> Claim {
    let text = "the events of one order are in the stream in the order of their versions";
    let messages = evidence.stream.iter().map(|message| {
        let version = message.envelope.aggregate_version.map_or(0, u32::from);
        (message.envelope.aggregate_id, version, format!("version {version} is message {}", message.sequence))
    });
    Claim::new("stored_in_order", text, evidence.stream.len()).except(out_of_order(messages))
}

fn received(evidence: &Evidence) -> Claim {
    let text = "each event is in the inbox once, and nothing else is";
    Claim::new("received", text, evidence.outbox.len()).except(compared(
        evidence,
        evidence.inbox.iter().map(|row| row.event_id),
        "in the inbox",
    ))
}

fn notified(evidence: &Evidence) -> Claim {
    let text = "each event has one notification, of its own order and type";
    let events: BTreeMap<Uuid, &OutboxEvent> = evidence.outbox.iter().map(|event| (event.event_id, event)).collect();
    let wrong = evidence.notifications.iter().filter_map(|notification| {
        let event = events.get(&notification.event_id)?;
        let right = event.aggregate_id == notification.order_id && event.event_type == notification.event_type;
        (!right).then(|| format!("notification {} tells of something else than {}", notification.id, named(event)))
    });
    let ids = evidence.notifications.iter().map(|notification| notification.event_id);
    Claim::new("notified", text, evidence.outbox.len()).except(compared(evidence, ids, "notified")).except(wrong)
}

fn notified_in_order(evidence: &Evidence) -> Claim {
    let text = "the notifications of one order were written in the order of its versions";
    let versions: BTreeMap<Uuid, u32> =
        evidence.outbox.iter().filter_map(|event| Some((event.event_id, event.aggregate_version?))).collect();
    let notifications = evidence.notifications.iter().filter_map(|notification| {
        let version = *versions.get(&notification.event_id)?;
        let what = format!("version {version} is notification {} of {}", notification.id, notification.created_at);
        Some((notification.order_id, version, what))
    });
    Claim::new("notified_in_order", text, evidence.notifications.len()).except(out_of_order(notifications))
}

fn emailed(evidence: &Evidence) -> Claim {
    let claim = Claim::new("emailed", "each notification's email was sent", evidence.notifications.len());
    let unsent = evidence.notifications.iter().filter(|notification| notification.state != "sent");
    claim.except(unsent.map(|unsent| format!("the email of notification {} is {}", unsent.id, unsent.state)))
}

/// Each event once among these ids, and nothing else.
fn compared(evidence: &Evidence, ids: impl Iterator<Item = Uuid>, how: &str) -> Vec<String> {
    let mut found: BTreeMap<Uuid, usize> = BTreeMap::new();
    ids.for_each(|id| *found.entry(id).or_default() += 1);
    let wrong = evidence.outbox.iter().filter_map(|event| match found.remove(&event.event_id) {
        None => Some(format!("{} is not {how}", named(event))),
        Some(1) => None,
        Some(count) => Some(format!("{} is {how} {count} times", named(event))),
    });
    let wrong: Vec<_> = wrong.collect();
    wrong.into_iter().chain(found.into_keys().map(|id| format!("event {id} is {how} and has no row"))).collect()
}

/// Of things in the order in which they happened, each with its order, its version and what it is: those that come after
/// one of the same or a later version.
fn out_of_order(things: impl Iterator<Item = (Uuid, u32, String)>) -> Vec<String> {
    let mut last: BTreeMap<Uuid, (u32, String)> = BTreeMap::new();
    let late = things.filter_map(|(order, version, what)| match last.insert(order, (version, what.clone())) {
        Some((before, elder)) if before >= version => Some(format!("order {order}: {elder}, and then {what}")),
        _ => None,
    });
    late.collect()
}

fn by_id(orders: &[Order]) -> BTreeMap<Uuid, &Order> {
    orders.iter().map(|order| (order.id, order)).collect()
}

fn repeated<T: Ord>(things: impl Iterator<Item = T>) -> impl Iterator<Item = (T, usize)> {
    let mut counts = BTreeMap::new();
    things.for_each(|thing| *counts.entry(thing).or_insert(0) += 1);
    counts.into_iter().filter(|(_, count)| *count > 1)
}

fn named(event: &OutboxEvent) -> String {
    format!("event {} ({} of order {})", event.event_id, event.event_type, event.aggregate_id)
}

fn list(things: impl IntoIterator<Item = impl Display>) -> String {
    things.into_iter().map(|thing| thing.to_string()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroU32;

    use schema::envelope::Envelope;
    use schema::ids::EventId;
    use serde_json::json;
    use sqlx::types::Json;

    use super::*;
    use crate::proof::{Key, Message, Notification, Received};

    /// Two orders, the second one cancelled, and all that comes of them.
    fn sound() -> (Vec<Asked>, Evidence) {
        let (mut asked, mut evidence) = (Vec::new(), Evidence::default());
        for (key, types) in [("one", &["order.created"][..]), ("two", &["order.created", "order.cancelled"])] {
            let id = Uuid::now_v7();
            let is_cancelled = types.len() == 2;
            let cancel = if is_cancelled { Cancel::Done } else { Cancel::Unasked };
            asked.push(Asked { key: key.into(), orders: [id].into(), cancel, oddities: BTreeSet::new() });
            let status = if is_cancelled { "cancelled" } else { "placed" };
            let version = u32::try_from(types.len()).unwrap();
            evidence.orders.push(Order { id, product: key.into(), status: status.into(), version });
            evidence.keys.push(Key { idempotency_key: key.into(), order_id: id });
            (1..).zip(types).for_each(|(version, event_type)| add_event(&mut evidence, id, version, event_type));
        }
        (asked, evidence)
    }

    fn add_event(evidence: &mut Evidence, order: Uuid, version: u32, event_type: &str) {
        let (event_id, payload) = (Uuid::now_v7(), json!({ "order_id": order, "version": version }));
        let stream_seq = evidence.stream.len() as u64 + 1;
        evidence.outbox.push(OutboxEvent {
            event_id,
            aggregate_id: order,
            aggregate_version: Some(version),
            event_type: event_type.into(),
            payload: Json(payload.clone()),
            state: "published".into(),
            attempts: 0,
            stream_seq,
        });
        let envelope = Envelope {
            event_id: EventId(event_id),
            source: "/web-store/orders".into(),
            event_type: event_type.into(),
            aggregate_type: "order".into(),
            aggregate_id: order,
            aggregate_version: NonZeroU32::new(version),
            occurred_at: "2026-11-22T11:30:00Z".parse().unwrap(),
        };
        let msg_id = Some(event_id.to_string());
        evidence.stream.push(Message { sequence: stream_seq, subject: event_type.into(), msg_id, envelope, payload });
        evidence.inbox.push(Received { event_id, stream_seq });
        evidence.notifications.push(Notification {
            id: Uuid::now_v7(),
            event_id,
            event_type: event_type.into(),
            order_id: order,
            state: "sent".into(),
            created_at: "2026-11-22T11:30:01Z".parse().unwrap(),
        });
    }

    fn violated(asked: &[Asked], evidence: &Evidence) -> Vec<(&'static str, String)> {
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
        (
            "a lost order",
            |_, evidence| drop(evidence.orders.pop()),
            &["placed", "placed_once", "cancelled", "appended"],
        ),
        (
            "an order of something else",
            |_, evidence| evidence.orders[1].product = "three".into(),
            &["placed", "placed_once"],
        ),
        (
            "an order twice",
            |_, evidence| twice(&mut evidence.orders, |order| order.id = Uuid::nil()),
            &["placed_once", "cancelled", "appended"],
        ),
        ("an order that nobody wanted", |asked, _| drop(asked.pop()), &["placed_once", "cancelled"]),
        ("a cancel undone", |_, evidence| evidence.orders[1].status = "placed".into(), &["cancelled", "appended"]),
        ("a cancel that nobody wanted", |asked, _| asked[1].cancel = Cancel::Unasked, &["cancelled"]),
        (
            "a lost outbox row",
            |_, evidence| drop(evidence.outbox.pop()),
            &["appended", "stored", "received", "notified"],
        ),
        (
            "a gap in the versions",
            |_, evidence| evidence.outbox[2].aggregate_version = Some(3),
            &["appended", "stored"],
        ),
        ("an event that waits", |_, evidence| evidence.outbox[2].state = "pending".into(), &["settled"]),
        ("a dead event", |_, evidence| evidence.outbox[2].state = "dead".into(), &["settled"]),
        ("an attempt spent", |_, evidence| evidence.outbox[2].attempts = 1, &["unspent"]),
        ("a lost message", |_, evidence| drop(evidence.stream.pop()), &["stored"]),
        (
            "a message twice",
            |_, evidence| twice(&mut evidence.stream, |message| message.sequence = 4),
            &["stored", "stored_in_order"],
        ),
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
        ("notifications out of order", |_, evidence| evidence.notifications.swap(1, 2), &["notified_in_order"]),
        ("an email that was not sent", |_, evidence| evidence.notifications[2].state = "dead".into(), &["emailed"]),
    ];

    fn twice<T: Clone>(things: &mut Vec<T>, change: fn(&mut T)) {
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
}
