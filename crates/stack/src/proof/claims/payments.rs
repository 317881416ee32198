//! The payments against the orders, and both against the provider's books.

use std::collections::BTreeMap;

use schema::aggregate::AggregateId;
use schema::ids::PaymentId;
use uuid::Uuid;

use crate::proof::claim::{Claim, by_id, repeated};
use crate::proof::{Evidence, Intent, Order, Payment, Payments};

/// Price of one, in the currency's minor unit: no product of a customer has a price of its own.
const UNIT_MINOR: u64 = 1000;

/// None if the pipeline has no payments.
pub(super) fn claims(evidence: &Evidence) -> Vec<Claim> {
    let Some(payments) = &evidence.payments else { return Vec::new() };
    let orders = by_id(&evidence.orders);
    vec![
        concluded(payments),
        paid(&orders, payments),
        paid_once(&orders, payments),
        agreed(&orders, payments),
        told(payments),
    ]
}

fn concluded(payments: &Payments) -> Claim {
    let text = "each payment has come to its end, and so has all that was asked of the provider";
    let open = payments.rows.iter().filter(|payment| known(&payment.state).is_none());
    let open = open.map(|payment| format!("payment {} of order {} is {}", payment.id, payment.order_id, payment.state));
    let unended = payments.effects.iter().filter(|effect| !["done", "withdrawn"].contains(&effect.state.as_str()));
    let unended = unended.map(|effect| {
        format!("the {} of payment {} is {}: {:?}", effect.kind, effect.subject, effect.state, effect.last_error)
    });
    Claim::new("concluded", text, payments.rows.len()).except(open.chain(unended))
}

fn paid(orders: &BTreeMap<Uuid, &Order>, payments: &Payments) -> Claim {
    let text = "the provider's books show money for each order that stands, and none that was kept for another";
    let mut kept: BTreeMap<Uuid, usize> = BTreeMap::new();
    for intent in payments.books.iter().filter(|intent| intent.is_charged && !intent.is_refunded) {
        *kept.entry(intent.purpose.order_id).or_default() += 1;
    }
    let wrong = orders.values().filter_map(|order| {
        let count = kept.remove(&order.id).unwrap_or_default();
        let is_right = (count > 0) == (order.status != "cancelled");
        (!is_right).then(|| format!("{count} charges are kept for order {}, which is {}", order.id, order.status))
    });
    let wrong: Vec<_> = wrong.collect();
    let strangers = kept.into_keys().map(|id| format!("money is kept for order {id}, which is not there"));
    Claim::new("paid", text, orders.len()).except(wrong.into_iter().chain(strangers))
}

fn paid_once(orders: &BTreeMap<Uuid, &Order>, payments: &Payments) -> Claim {
    let text = "by the books no order was charged twice, or refunded twice or without a charge, or for another amount";
    let of = |is_it: fn(&Intent) -> bool| {
        repeated(payments.books.iter().filter(move |intent| is_it(intent)).map(|intent| intent.purpose.order_id))
    };
    let charged = of(|intent| intent.is_charged).map(|(id, count)| format!("order {id} was charged {count} times"));
    let refunded = of(|intent| intent.is_refunded).map(|(id, count)| format!("order {id} was refunded {count} times"));
    let given = payments.books.iter().filter(|intent| intent.is_refunded && !intent.is_charged);
    let given = given.map(|intent| format!("order {} was refunded without a charge", intent.purpose.order_id));
    let amounts = payments.books.iter().filter_map(|intent| {
        let (id, amount) = (intent.purpose.order_id, intent.purpose.amount_minor);
        let order = orders.get(&id)?;
        let is_right = amount == u64::from(order.quantity) * UNIT_MINOR;
        (!is_right).then(|| format!("intent {} takes {amount} for {} x order {id}", intent.id, order.quantity))
    });
    let count = payments.books.iter().filter(|intent| intent.is_charged).count();
    Claim::new("paid_once", text, count).except(charged.chain(refunded).chain(given).chain(amounts))
}

/// What a state of a payment means for everybody else.
struct Standing {
    /// As order-svc knows it.
    payment: &'static str,
    is_cancelled: bool,
    is_charged: bool,
    is_refunded: bool,
    /// What was told of it, in order.
    events: &'static [&'static str],
}

/// None of a state that is no end.
fn known(state: &str) -> Option<Standing> {
    let standing = |payment, [is_cancelled, is_charged, is_refunded]: [bool; 3], events| {
        Some(Standing { payment, is_cancelled, is_charged, is_refunded, events })
    };
    match state {
        "authorized" => standing("authorized", [false, true, false], &["payment.authorized"]),
        "declined" => standing("declined", [true, false, false], &["payment.declined"]),
        "withdrawn" => standing("due", [true, false, false], &[]),
        "refunded" => standing("refunded", [true, true, true], &["payment.authorized", "payment.refunded"]),
        _ => None,
    }
}

fn agreed(orders: &BTreeMap<Uuid, &Order>, payments: &Payments) -> Claim {
    let text = "each order has one payment, and order-svc, payment-svc and the books agree on how it stands";
    let mut rows: BTreeMap<Uuid, Vec<&Payment>> = BTreeMap::new();
    payments.rows.iter().for_each(|row| rows.entry(row.order_id).or_default().push(row));
    let wrong = orders.values().filter_map(|order| match rows.remove(&order.id).unwrap_or_default()[..] {
        [] => Some(format!("order {} has no payment", order.id)),
        [payment] => disagreement(order, payment, &payments.books),
        _ => Some(format!("order {} has several payments", order.id)),
    });
    let wrong: Vec<_> = wrong.collect();
    let strangers = rows.into_keys().map(|id| format!("order {id} has a payment and is not there"));
    Claim::new("agreed", text, orders.len()).except(wrong.into_iter().chain(strangers))
}

fn disagreement(order: &Order, payment: &Payment, books: &[Intent]) -> Option<String> {
    let standing = known(&payment.state)?; // what is no end is another claim's
    let intents = || books.iter().filter(|intent| intent.purpose.order_id == order.id);
    let is_same = standing.payment == order.payment
        && standing.is_cancelled == (order.status == "cancelled")
        && standing.is_charged == intents().any(|intent| intent.is_charged)
        && standing.is_refunded == intents().any(|intent| intent.is_refunded)
        && intents().all(|intent| intent.purpose.reference == payment.id)
        && payment.amount_minor == u64::from(order.quantity) * UNIT_MINOR;
    (!is_same).then(|| {
        let books: Vec<_> = intents().collect();
        format!(
            "order {} is {} and {}, {payment:?}, and the books say {books:?}",
            order.id, order.status, order.payment
        )
    })
}

fn told(payments: &Payments) -> Claim {
    let text = "each payment has told what became of it, versions 1, 2 and so on, and there are no other events";
    let mut events: BTreeMap<AggregateId, Vec<(Option<u32>, &str)>> = BTreeMap::new();
    for event in &payments.outbox {
        events.entry(event.aggregate_id).or_default().push((event.aggregate_version, &event.event_type));
    }
    let wrong = payments.rows.iter().filter_map(|payment| {
        let mut found = events.remove(&PaymentId(payment.id).into()).unwrap_or_default();
        found.sort_unstable();
        let wanted: Vec<_> = (1..).map(Some).zip(known(&payment.state)?.events.iter().copied()).collect();
        let is_right = found == wanted && payment.version as usize == wanted.len();
        (!is_right).then(|| format!("{payment:?} has the events {found:?}"))
    });
    let wrong: Vec<_> = wrong.collect();
    let strangers = events.into_keys().map(|id| format!("payment {id} has events and is not there"));
    Claim::new("told", text, payments.rows.len()).except(wrong.into_iter().chain(strangers))
}

#[cfg(test)]
mod tests;
