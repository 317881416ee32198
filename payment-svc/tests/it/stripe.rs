//! Against localstripe 1.15.10. What trying showed of it, and what it means for these tests:
//!
//! | | Stripe | localstripe |
//! | --- | --- | --- |
//! | idempotency keys | for 24 hours, stored 5xx included | ignored: the same key opens a second intent |
//! | PaymentIntent: metadata, confirm later, cancel | yes | yes; confirm and cancel take no parameters |
//! | `off_session` | on confirm, too | only when opened with `confirm=true` |
//! | confirm or cancel what has ended | 400 `payment_intent_unexpected_state` | 400 without a code |
//! | list of intents by `created` or metadata, search | `created` only; search lags | neither: 400 and 404 |
//! | list of refunds by `payment_intent` | yes | yes |
//! | second refund of all | 400 `charge_already_refunded` | a second refund: looking it up is all that prevents it |
//! | a declined card | `pm_card_chargeDeclined` | `pm_card_chargeCustomerFail` |

use payment_svc::provider::ProviderError::{Refused, Unknown};
use payment_svc::provider::{
    Attempt::First, Attempt::Repeat, ChargeOutcome, IntentId, Provider, RefundOutcome, Standing,
};
use runtime::config::Secret;
use stack::testing::{LocalStripe, TcpProxy, eventually};

use crate::asked::{charge, refund, settings, stripe};

fn charged(intent: &IntentId) -> ChargeOutcome {
    ChargeOutcome::Charged { provider_id: intent.to_string() }
}

async fn payments(server: &LocalStripe) -> usize {
    server.list("charges").await.iter().filter(|charge| charge["status"] == "succeeded").count()
}

fn port(server: &LocalStripe) -> u16 {
    server.url().rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn stripes_books_show_one_charge_and_one_refund_however_often_they_were_asked_for() {
    let server = LocalStripe::start().await;
    let provider = stripe(&server.url(), &[]).await;
    let charge = charge();
    let intent = provider.prepare(&charge).await.unwrap();
    assert_eq!(provider.find(&intent).await.unwrap(), Standing::Open);
    for attempt in [First, Repeat, First, Repeat] {
        assert_eq!(provider.charge(&intent, attempt).await.unwrap(), charged(&intent));
    }
    assert_eq!(provider.find(&intent).await.unwrap(), Standing::Charged { provider_id: intent.to_string() });

    let refund = refund(&charge, &intent);
    assert_eq!(provider.find_refund(&refund).await.unwrap(), None);
    let outcome = provider.refund(&refund, First).await.unwrap();
    assert!(matches!(outcome, RefundOutcome::Refunded { .. }), "{outcome:?}");
    for _ in 0..3 {
        assert_eq!(provider.refund(&refund, Repeat).await.unwrap(), outcome);
    }
    assert_eq!(payments(&server).await, 1);
    let (intents, refunds) = (server.list("payment_intents").await, server.list("refunds").await);
    assert_eq!(refunds.len(), 1);
    assert_eq!((&refunds[0]["amount"], &refunds[0]["currency"]), (&1999.into(), &"eur".into()));
    for thing in [&intents[0], &refunds[0]] {
        assert_eq!(thing["metadata"]["payment_id"], charge.reference.to_string());
        assert_eq!(thing["metadata"]["order_id"], charge.order_id.to_string());
    }
}

#[tokio::test]
async fn an_intent_that_nobody_recorded_takes_no_money() {
    let server = LocalStripe::start().await;
    let provider = stripe(&server.url(), &[]).await;
    let charge = charge();
    let (lost, recorded) = (provider.prepare(&charge).await.unwrap(), provider.prepare(&charge).await.unwrap());
    assert_ne!(lost, recorded, "localstripe knows no idempotency keys, and Stripe forgets them");
    assert_eq!(provider.charge(&recorded, First).await.unwrap(), charged(&recorded));
    assert_eq!(provider.find(&lost).await.unwrap(), Standing::Open);
    assert_eq!(payments(&server).await, 1);
}

#[tokio::test]
async fn a_declined_card_stays_declined() {
    let server = LocalStripe::start().await;
    let provider = stripe(&server.url(), &["--stripe-payment-method", "pm_card_chargeCustomerFail"]).await;
    let intent = provider.prepare(&charge()).await.unwrap();
    let outcome = provider.charge(&intent, First).await.unwrap();
    let ChargeOutcome::Declined(decline) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((decline.code.as_str(), decline.message.as_str()), ("card_declined", "Your card was declined."));
    assert_eq!(provider.find(&intent).await.unwrap(), Standing::Declined(decline.clone()));
    assert_eq!(provider.charge(&intent, Repeat).await.unwrap(), outcome);
    assert_eq!(server.list("charges").await.len(), 1, "the bank was asked once");
}

#[tokio::test]
async fn a_withdrawn_intent_can_not_be_paid_and_a_paid_one_not_withdrawn() {
    let server = LocalStripe::start().await;
    let provider = stripe(&server.url(), &[]).await;
    let withdrawn = provider.prepare(&charge()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(provider.withdraw(&withdrawn).await.unwrap(), ChargeOutcome::Withdrawn);
    }
    for attempt in [First, Repeat] {
        assert_eq!(provider.charge(&withdrawn, attempt).await.unwrap(), ChargeOutcome::Withdrawn);
    }
    assert_eq!(payments(&server).await, 0);

    let paid = provider.prepare(&charge()).await.unwrap();
    provider.charge(&paid, First).await.unwrap();
    assert_eq!(provider.withdraw(&paid).await.unwrap(), charged(&paid));
    assert_eq!(payments(&server).await, 1);
}

#[tokio::test]
async fn a_charge_whose_answer_never_comes_is_looked_up_and_not_taken_again() {
    let server = LocalStripe::start().await;
    let mut proxy = TcpProxy::start(port(&server)).await;
    let provider = stripe(&format!("http://127.0.0.1:{}", proxy.port()), &["--stripe-timeout", "2s"]).await;
    let charge = charge();
    let intent = provider.prepare(&charge).await.unwrap();
    proxy.deafen_at(format!("/{intent}/confirm").as_bytes());
    let fault = provider.charge(&intent, First).await.unwrap_err();
    assert!(matches!(fault, Unknown(_)), "{fault:?}");
    proxy.heal().await;
    eventually("Stripe has charged it", async || payments(&server).await == 1).await;
    eventually("it is found", async || provider.charge(&intent, Repeat).await.ok() == Some(charged(&intent))).await;
    assert_eq!(server.list("charges").await.len(), 1);

    let refund = refund(&charge, &intent);
    proxy.deafen_at(b"/v1/refunds");
    let fault = provider.refund(&refund, First).await.unwrap_err();
    assert!(matches!(fault, Unknown(_)), "{fault:?}");
    proxy.heal().await;
    eventually("Stripe has given it back", async || server.list("refunds").await.len() == 1).await;
    let refunded = async || matches!(provider.refund(&refund, Repeat).await, Ok(RefundOutcome::Refunded { .. }));
    eventually("that is found", refunded).await;
    assert_eq!(server.list("refunds").await.len(), 1);
}

#[tokio::test]
async fn a_charge_that_was_cut_off_on_its_way_is_looked_up_and_then_taken() {
    let server = LocalStripe::start().await;
    let mut proxy = TcpProxy::start(port(&server)).await;
    let provider = stripe(&format!("http://127.0.0.1:{}", proxy.port()), &["--stripe-timeout", "20s"]).await;
    let intent = provider.prepare(&charge()).await.unwrap();
    proxy.cut_before(format!("/{intent}/confirm").as_bytes());
    let fault = provider.charge(&intent, First).await.unwrap_err();
    assert!(matches!(fault, Unknown(_)), "{fault:?}");
    proxy.until_cut().await;
    assert_eq!(payments(&server).await, 0);
    proxy.heal().await;
    assert_eq!(provider.charge(&intent, Repeat).await.unwrap(), charged(&intent));
    assert_eq!(payments(&server).await, 1);
}

#[tokio::test]
async fn a_key_that_stripe_does_not_know_is_our_fault_and_no_charges() {
    let server = LocalStripe::start().await;
    let mut settings = settings(&server.url(), &[]);
    settings.stripe_api_key = Some(Secret::from("sk_".to_owned()));
    let provider = Provider::open(&settings).await.unwrap();
    let fault = provider.prepare(&charge()).await.unwrap_err();
    assert!(matches!(fault, Refused(_)), "{fault:?}");
    let provider = stripe(&server.url(), &["--stripe-payment-method", "pm_unknown"]).await;
    let fault = provider.prepare(&charge()).await.unwrap_err();
    assert!(matches!(fault, Refused(_)), "{fault:?}");
}
