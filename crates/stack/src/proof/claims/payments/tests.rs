//! Sound payments, and what is said when they are broken.

use schema::event::CancelCause;
use serde_json::json;

use super::super::tests::{add_event, append, at, notification, sound, twice, violated};
use crate::proof::{Asked, Evidence, Intent, Order, Payment, Payments, ProviderEffect, Purpose};
use schema::ids::PaymentId;
use uuid::Uuid;

/// Of the sound orders the first is paid, the second refunded, and a third one is declined.
fn paid() -> (Vec<Asked>, Evidence) {
    let (mut asked, mut evidence) = sound();
    let third = Order {
        id: Uuid::now_v7(),
        product: "test-declined".into(),
        email: "three@example.com".into(),
        ..evidence.orders[0].clone()
    };
    asked.push(Asked {
        key: "three".into(),
        product: third.product.clone(),
        email: third.email.clone(),
        orders: [third.clone()].into(),
        ..asked[0].clone()
    });
    add_event(&mut evidence, &third, 1, "order.created");
    add_event(&mut evidence, &third, 2, "order.cancelled");
    let cause = json!(CancelCause::PaymentDeclined);
    evidence.outbox[4].payload.0["cause"] = cause.clone();
    evidence.stream[4].payload["cause"] = cause;
    evidence.orders.push(Order { status: "cancelled".into(), version: 2, updated_at: at(2), ..third });
    let mut payments = Payments { inbox: evidence.inbox.clone(), ..Payments::default() };
    let ends = [
        ("authorized", &["payment.authorized"][..], [true, false]),
        ("refunded", &["payment.authorized", "payment.refunded"], [true, true]),
        ("declined", &["payment.declined"], [false, false]),
    ];
    for (order, (state, events, books)) in evidence.orders.iter_mut().zip(ends) {
        order.payment = state.into();
        let last = pay(&mut payments, order, state, events, books);
        if state != "authorized" {
            evidence.notifications.push(notification(order, last, events[events.len() - 1]));
        }
    }
    evidence.payments = Some(payments);
    (asked, evidence)
}

/// The id of its last event.
fn pay(payments: &mut Payments, order: &Order, state: &str, events: &[&str], books: [bool; 2]) -> Uuid {
    let (id, amount_minor) = (Uuid::now_v7(), 2000);
    let version = u32::try_from(events.len()).unwrap();
    payments.rows.push(Payment { id, order_id: order.id, amount_minor, state: state.into(), version });
    let kinds = if books[1] { &["charge", "refund"][..] } else { &["charge"] };
    payments.effects.extend(kinds.iter().map(|kind| ProviderEffect {
        subject: id.to_string(),
        kind: (*kind).into(),
        state: "done".into(),
        last_error: None,
    }));
    let purpose = Purpose { order_id: order.id, reference: id, amount_minor };
    let [is_charged, is_refunded] = books;
    payments.books.push(Intent { id: format!("intent of {id}"), purpose, is_charged, is_refunded });
    for (version, event_type) in (1..).zip(events) {
        let (id, payload) = (PaymentId(id).into(), json!({ "order_id": order.id }));
        let event = append(&mut payments.outbox, &mut payments.stream, (id, version), event_type, payload);
        payments.told.push(event);
    }
    payments.heard.clone_from(&payments.told);
    payments.told[payments.told.len() - 1]
}

#[test]
fn nothing_speaks_against_orders_that_are_paid_refunded_and_declined() {
    let (asked, evidence) = paid();
    assert_eq!(violated(&asked, &evidence), []);
    assert!(super::claims(&evidence).iter().all(|claim| claim.checked > 0), "a claim was checked for nothing");
}

type Break = (&'static str, usize, fn(&mut Evidence, &mut Payments), &'static [&'static str]);

/// What is done to the payment of which order, and the claims that it violates.
const BREAKS: &[Break] = &[
    ("an order that is not paid", 0, |_, paid| paid.books[0].is_charged = false, &["paid", "agreed"]),
    (
        "money that was taken from nobody's order",
        0,
        |_, paid| twice(&mut paid.books, |intent| (intent.is_charged, intent.purpose.order_id) = (true, Uuid::nil())),
        &["paid"],
    ),
    (
        "a charge made twice",
        0,
        |_, paid| {
            let again = Intent { id: "again".into(), ..paid.books[0].clone() };
            paid.books.push(again);
        },
        &["paid_once"],
    ),
    (
        "a refund made twice",
        1,
        |_, paid| {
            let again = Intent { is_charged: false, ..paid.books[1].clone() };
            paid.books.push(again);
        },
        &["paid_once"],
    ),
    ("money kept for a cancelled order", 1, |_, paid| paid.books[1].is_refunded = false, &["paid", "agreed"]),
    ("money kept for a declined order", 2, |_, paid| paid.books[2].is_charged = true, &["paid", "agreed"]),
    ("a refund that nobody wanted", 0, |_, paid| paid.books[0].is_refunded = true, &["paid", "agreed"]),
    ("another amount", 0, |_, paid| paid.books[0].purpose.amount_minor = 1, &["paid_once"]),
    ("another amount in the table", 0, |_, paid| paid.rows[0].amount_minor = 1, &["agreed"]),
    ("an intent of another payment", 0, |_, paid| paid.books[0].purpose.reference = Uuid::nil(), &["agreed"]),
    ("a payment under way", 0, |_, paid| paid.rows[0].state = "due".into(), &["concluded"]),
    ("a refund under way", 1, |_, paid| paid.rows[1].state = "refunding".into(), &["concluded"]),
    ("a dead charge", 0, |_, paid| paid.effects[0].state = "dead".into(), &["concluded"]),
    ("a refund that a person gave up", 1, |_, paid| paid.effects[2].state = "discarded".into(), &["concluded"]),
    ("a lost payment", 2, |_, paid| drop(paid.rows.pop()), &["agreed", "told"]),
    ("two payments", 2, |_, paid| twice(&mut paid.rows, |_| ()), &["agreed", "told"]),
    ("a payment of no order", 2, |_, paid| paid.rows[2].order_id = Uuid::nil(), &["agreed"]),
    ("an order that knows nothing", 0, |orders, _| orders.orders[0].payment = "due".into(), &["agreed"]),
    (
        "an order that stands without a payment",
        2,
        |orders, _| orders.orders[2].status = "placed".into(),
        &["appended", "paid", "agreed"],
    ),
    (
        "an order that was cancelled without a reason",
        2,
        |orders, _| {
            orders.outbox[4].payload.0.as_object_mut().unwrap().remove("cause");
            orders.stream[4].payload = orders.outbox[4].payload.0.clone();
        },
        &["cancelled"],
    ),
    (
        "an order that was cancelled for another reason",
        1,
        |orders, _| {
            orders.outbox[2].payload.0["cause"] = json!("payment_declined");
            orders.stream[2].payload = orders.outbox[2].payload.0.clone();
        },
        &["truthful"],
    ),
    ("a version too many", 1, |_, paid| paid.rows[1].version = 3, &["told"]),
    ("an event of another version", 1, |_, paid| paid.outbox[2].aggregate_version = Some(3), &["stored", "told"]),
    ("an event that waits", 2, |_, paid| paid.outbox[3].state = "pending".into(), &["settled"]),
    ("an attempt spent", 2, |_, paid| paid.outbox[3].attempts = 1, &["unspent"]),
    ("a lost message", 2, |_, paid| drop(paid.stream.pop()), &["stored"]),
    ("a message from elsewhere", 2, |_, paid| paid.stream[3].envelope.source = "/eve".into(), &["stored"]),
    ("versions swapped in the stream", 1, |_, paid| paid.stream.swap(1, 2), &["stored_in_order"]),
    ("an order that payment-svc never heard of", 2, |_, paid| paid.inbox.truncate(4), &["received"]),
    ("a payment that order-svc never heard of", 2, |_, paid| paid.told.truncate(3), &["received"]),
    ("a payment that notify-svc never heard of", 2, |_, paid| paid.heard.truncate(3), &["received"]),
    ("a refund that nobody was told of", 1, |evidence, _| drop(evidence.notifications.remove(5)), &["notified"]),
    (
        "a refund that was told of something else",
        1,
        |evidence, _| evidence.notifications[5].product = "tea".into(),
        &["notified"],
    ),
];

#[test]
fn whatever_is_wrong_with_payments_violates_its_claims_and_is_named() {
    for (what, order, break_it, claims) in BREAKS {
        let (asked, mut evidence) = paid();
        let mut payments = evidence.payments.take().unwrap();
        let mut names = vec![Uuid::nil().to_string(), evidence.orders[*order].id.to_string()];
        names.push(payments.rows[*order].id.to_string());
        let of_order = evidence.orders[*order].aggregate_id();
        let of_payment = PaymentId(payments.rows[*order].id).into();
        let events = evidence.outbox.iter().chain(&payments.outbox);
        let events = events.filter(|event| [of_order, of_payment].contains(&event.aggregate_id));
        names.extend(events.map(|event| event.event_id.to_string()));
        break_it(&mut evidence, &mut payments);
        evidence.payments = Some(payments);
        let found = violated(&asked, &evidence);
        assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), *claims, "{what}: {found:?}");
        let is_named = |text: &String| names.iter().any(|name| text.contains(name));
        assert!(found.iter().all(|(_, text)| is_named(text)), "{what} is not named: {found:?}");
    }
}
