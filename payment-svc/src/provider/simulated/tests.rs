use futures::future::join_all;
use schema::ids::OrderId;
use tempfile::TempDir;
use uuid::Uuid;

use super::super::error::ProviderError::{Invalid, Refused, Throttled, Unknown, Unreachable};
use super::super::terms::Attempt::{First, Repeat};
use super::*;

fn order(product: &str) -> Charge {
    Charge {
        key: Uuid::now_v7().to_string(),
        reference: Uuid::now_v7(),
        order_id: OrderId::generate(),
        amount_minor: 1999.try_into().unwrap(),
        currency: "EUR".parse().unwrap(),
        product: product.to_owned(),
    }
}

fn refund_of(charge: &Charge, intent: &IntentId) -> Refund {
    let Charge { reference, order_id, .. } = *charge;
    Refund { key: Uuid::now_v7().to_string(), reference, order_id, intent: intent.clone() }
}

async fn prepared(product: &str) -> (TempDir, Simulated, Charge, IntentId) {
    let folder = tempfile::tempdir().unwrap();
    let simulated = Simulated::open(folder.path()).await.unwrap();
    let charge = order(product);
    let intent = simulated.prepare(&charge).await.unwrap();
    (folder, simulated, charge, intent)
}

fn charged(intent: &IntentId) -> ChargeOutcome {
    ChargeOutcome::Charged { provider_id: intent.to_string() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_is_paid_and_given_back_once_however_many_try() {
    let (folder, simulated, charge, intent) = prepared("keyboard").await;
    let charges = join_all((0..20).map(|_| simulated.charge(&intent, First))).await;
    assert!(charges.into_iter().all(|outcome| outcome.unwrap() == charged(&intent)));
    let refund = refund_of(&charge, &intent);
    join_all((0..20).map(|_| simulated.refund(&refund, First)))
        .await
        .into_iter()
        .for_each(|outcome| drop(outcome.unwrap()));
    let entries = ledger(folder.path()).unwrap();
    let Charge { order_id, reference, currency, .. } = charge;
    let entry =
        LedgerEntry { intent, order_id, reference, amount_minor: 1999, currency, charged: true, refunded: true };
    assert_eq!(entries, [entry]);
}

#[tokio::test]
async fn what_was_paid_before_a_restart_is_found_after_it() {
    let (folder, simulated, charge, intent) = prepared(magic::LOST).await;
    assert!(matches!(simulated.charge(&intent, First).await, Err(Unknown(_))));
    let restarted = Simulated::open(folder.path()).await.unwrap();
    assert_eq!(restarted.prepare(&charge).await.unwrap(), intent);
    assert_eq!(restarted.find(&intent).await.unwrap(), Standing::Charged { provider_id: intent.to_string() });
    assert_eq!(restarted.charge(&intent, Repeat).await.unwrap(), charged(&intent));
    assert_eq!(ledger(folder.path()).unwrap().iter().filter(|entry| entry.charged).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_and_a_charge_at_once_agree_on_how_it_ended() {
    for _ in 0..20 {
        let (folder, simulated, _, intent) = prepared("keyboard").await;
        let (charge, withdrawal) = tokio::join!(simulated.charge(&intent, First), simulated.withdraw(&intent));
        let outcome = charge.unwrap();
        assert_eq!(outcome, withdrawal.unwrap());
        assert_eq!(ledger(folder.path()).unwrap()[0].charged, outcome == charged(&intent));
    }
}

#[tokio::test]
async fn each_magic_product_fails_in_its_way_and_then_no_more() {
    let (_folder, simulated, _, intent) = prepared(magic::DECLINED).await;
    let decline = Decline::new("card_declined", "The simulated bank said no.");
    assert_eq!(simulated.charge(&intent, First).await.unwrap(), ChargeOutcome::Declined(decline.clone()));
    assert_eq!(simulated.find(&intent).await.unwrap(), Standing::Declined(decline));

    for product in [magic::CUT, magic::REFUSED, magic::THROTTLED, magic::UNREACHABLE] {
        let (_folder, simulated, _, intent) = prepared(product).await;
        let fault = simulated.charge(&intent, First).await.unwrap_err();
        let is_its_own = match product {
            magic::CUT => matches!(fault, Unknown(_)),
            magic::REFUSED => matches!(fault, Refused(_)),
            magic::THROTTLED => matches!(fault, Throttled { retry_after: Some(RETRY_AFTER) }),
            _ => matches!(fault, Unreachable(_)),
        };
        assert!(is_its_own, "{product}: {fault:?}");
        assert_eq!(simulated.find(&intent).await.unwrap(), Standing::Open, "{product}");
        assert_eq!(simulated.charge(&intent, Repeat).await.unwrap(), charged(&intent), "{product}");
    }
    assert!(matches!(simulated.prepare(&order(magic::INVALID)).await, Err(Invalid { .. })));
}

#[tokio::test]
async fn a_refund_can_be_refused_or_its_answer_lost() {
    let (_folder, simulated, charge, intent) = prepared(magic::REFUND_DECLINED).await;
    simulated.charge(&intent, First).await.unwrap();
    let outcome = simulated.refund(&refund_of(&charge, &intent), First).await.unwrap();
    assert!(matches!(outcome, RefundOutcome::Declined(_)), "{outcome:?}");

    let (folder, simulated, charge, intent) = prepared(magic::REFUND_LOST).await;
    let refund = refund_of(&charge, &intent);
    assert!(matches!(simulated.refund(&refund, First).await, Err(Invalid { .. })), "nothing was charged yet");
    simulated.charge(&intent, First).await.unwrap();
    assert!(matches!(simulated.refund(&refund, First).await, Err(Unknown(_))));
    let found = simulated.find_refund(&refund).await.unwrap();
    assert_eq!(simulated.refund(&refund, Repeat).await.unwrap(), found.unwrap());
    assert!(ledger(folder.path()).unwrap()[0].refunded);
}

#[tokio::test(start_paused = true)]
async fn a_slow_charge_ends_before_the_time_that_a_call_may_take() {
    let (_folder, simulated, _, intent) = prepared(magic::SLOW).await;
    let outcome = tokio::time::timeout(ANSWER_TIME_MAX, simulated.charge(&intent, First)).await;
    assert_eq!(outcome.expect("it is in time").unwrap(), charged(&intent));
}

#[tokio::test]
async fn an_intent_of_another_folder_is_no_attempt_of_this_charge() {
    let (_folder, simulated, ..) = prepared("keyboard").await;
    let elsewhere = "sim_elsewhere".parse().unwrap();
    assert!(matches!(simulated.charge(&elsewhere, First).await, Err(Refused(_))));
}

#[test]
fn the_proof_orders_products_that_the_simulator_has_trouble_with() {
    use magic::{CUT, DECLINED, LOST, REFUND_LOST, SLOW, THROTTLED, UNREACHABLE};
    let troublesome = stack::proof::TROUBLESOME.map(|(product, _)| product);
    assert_eq!(troublesome, [DECLINED, LOST, CUT, REFUND_LOST, SLOW, UNREACHABLE, THROTTLED]);
}
