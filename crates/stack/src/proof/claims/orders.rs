//! What customers were answered, compared with the orders.

use std::collections::{BTreeMap, BTreeSet};

use schema::aggregate::AggregateId;
use uuid::Uuid;

use super::events::cause;
use crate::proof::claim::{Claim, by_id, list, repeated};
use crate::proof::{Asked, Cancel, Evidence, Order};

pub(super) fn claims(asked: &[Asked], evidence: &Evidence) -> [Claim; 4] {
    [answered(asked), placed(asked, evidence), placed_once(asked, evidence), cancelled(asked, evidence)]
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
    let text = "each order that was answered 201 is there, as it was asked for and as the answer said";
    let orders = by_id(&evidence.orders);
    let told = || asked.iter().flat_map(|asked| asked.orders.iter().map(move |answer| (asked, answer)));
    Claim::new("placed", text, told().count()).except(told().filter_map(|(asked, answer)| {
        let id = answer.id;
        match orders.get(&id) {
            None => Some(format!("order {id} ({}) is not there", asked.key)),
            _ if !asked.is_answered_by(answer) => Some(format!("{asked:?} was answered with another order")),
            Some(order) if order.as_placed() != *answer => {
                Some(format!("order {id} was answered as {answer:?}, and is {order:?}"))
            }
            Some(_) => None,
        }
    }))
}

fn placed_once(asked: &[Asked], evidence: &Evidence) -> Claim {
    let text = "no Idempotency-Key placed two orders, and nobody's wish placed any";
    let claim = Claim::new("placed_once", text, asked.len());
    let keys: BTreeMap<&str, &str> = asked.iter().map(|asked| (asked.email.as_str(), asked.key.as_str())).collect();
    let twice = repeated(evidence.orders.iter().map(|order| order.email.as_str()))
        .map(|(email, count)| format!("{} placed {count} orders", keys.get(email).unwrap_or(&email)));
    let told_twice = asked.iter().filter_map(|asked| {
        let ids: BTreeSet<Uuid> = asked.orders.iter().map(|order| order.id).collect();
        (ids.len() > 1).then(|| format!("{} was answered with the orders {}", asked.key, list(ids)))
    });
    let unasked = evidence.orders.iter().filter(|order| !keys.contains_key(order.email.as_str()));
    let unasked = unasked.map(|order| format!("nobody asked for order {} ({})", order.id, order.email));
    let orders = by_id(&evidence.orders);
    let misplaced = evidence.keys.iter().filter_map(|key| match orders.get(&key.order_id) {
        None => Some(format!("key {} names order {}, which is not there", key.idempotency_key, key.order_id)),
        Some(order) if keys.get(order.email.as_str()).is_some_and(|of| *of != key.idempotency_key) => {
            Some(format!("key {} names order {} for {}", key.idempotency_key, order.id, order.email))
        }
        Some(_) => None,
    });
    claim.except(twice.chain(told_twice).chain(unasked).chain(misplaced))
}

fn cancelled(asked: &[Asked], evidence: &Evidence) -> Claim {
    let text = "each order whose cancelling was answered 200 is as the answer said; another is cancelled only if its payment was \
                declined";
    let orders = by_id(&evidence.orders);
    let wishes: BTreeMap<Uuid, &Cancel> =
        asked.iter().flat_map(|asked| asked.orders.iter().map(|order| (order.id, &asked.cancel))).collect();
    let done = || {
        wishes.iter().filter_map(|(id, wish)| match wish {
            Cancel::Done(answer) => Some((id, answer)),
            Cancel::Unasked | Cancel::Unanswered => None,
        })
    };
    let claim = Claim::new("cancelled", text, done().count());
    let undone = done().filter_map(|(id, answer)| {
        let order = orders.get(id).copied();
        let is_same = order.map(Order::but_payment) == Some(answer.but_payment());
        let is_done = is_same && answer.status == "cancelled";
        (!is_done).then(|| format!("order {id} was answered as {answer:?}, and is {order:?}"))
    });
    let declined: BTreeSet<AggregateId> =
        evidence.outbox.iter().filter(|event| cause(event).is_some()).map(|event| event.aggregate_id).collect();
    let unasked = evidence.orders.iter().filter(|order| {
        order.status == "cancelled"
            && wishes.get(&order.id).is_none_or(|wish| **wish == Cancel::Unasked)
            && !declined.contains(&order.aggregate_id())
    });
    claim.except(undone.chain(unasked.map(|order| format!("nobody asked to cancel order {}", order.id))))
}
