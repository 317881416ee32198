//! kill -9 at each step of a charge and of a refund, counted at the provider.
//!
//! A row lock of the test's own holds the service where it reads or writes the payment, and the simulator's slow products hold
//! it in the charge and in the refund.

use payment_svc::provider::magic;
use stack::both_engines;
use stack::testing::{Engine, eventually};

use crate::shop::Shop;

both_engines! {
    async fn a_kill_before_the_intent_is_recorded_charges_once(engine: Engine) {
        let mut shop = Shop::closed(engine, "Mug").await;
        let lock = shop.lock().await;
        shop.service.spawn();
        eventually("an intent", async || !shop.ledger().is_empty()).await;
        shop.kill().await;
        lock.rollback().await.unwrap();
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.events().await), (1, vec!["payment.authorized".to_owned()]));
    }

    async fn a_kill_in_the_charge_charges_once(engine: Engine) {
        let mut shop = Shop::open(engine, magic::SLOW).await;
        eventually("the intent is recorded", async || shop.has_intent().await).await;
        shop.kill().await;
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.events().await), (1, vec!["payment.authorized".to_owned()]));
    }

    async fn a_kill_between_the_charge_and_its_conclusion_charges_once(engine: Engine) {
        let mut shop = Shop::open(engine, magic::SLOW).await;
        eventually("the intent is recorded", async || shop.has_intent().await).await;
        let lock = shop.lock().await;
        eventually("the money is taken", async || shop.charged() == 1).await;
        shop.kill().await;
        lock.rollback().await.unwrap();
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.events().await), (1, vec!["payment.authorized".to_owned()]));
    }

    async fn a_charge_whose_answer_is_lost_is_charged_once(engine: Engine) {
        let shop = Shop::open(engine, magic::LOST).await;
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.events().await), (1, vec!["payment.authorized".to_owned()]));
    }

    async fn an_order_that_is_cancelled_while_its_charge_is_killed_keeps_no_money(engine: Engine) {
        let mut shop = Shop::open(engine, magic::SLOW).await;
        eventually("the intent is recorded", async || shop.has_intent().await).await;
        shop.cancel().await;
        shop.kill().await;
        shop.until_one_of(&["withdrawn", "refunded"]).await;
        assert!(shop.ledger().iter().all(|entry| entry.charged == entry.refunded), "{:?}", shop.ledger());
    }

    async fn a_declined_charge_is_told_once_with_its_reason(engine: Engine) {
        let shop = Shop::open(engine, magic::DECLINED).await;
        shop.until("declined").await;
        assert_eq!((shop.charged(), shop.events().await), (0, vec!["payment.declined".to_owned()]));
        let reason: String = shop.field("SELECT decline_reason FROM payments WHERE id = ?").await;
        assert_eq!(reason, "card_declined");
    }

    async fn a_kill_in_the_refund_refunds_once(engine: Engine) {
        let mut shop = Shop::open(engine, magic::REFUND_SLOW).await;
        shop.until("authorized").await;
        shop.cancel_paid().await;
        shop.until_under_way("refund").await;
        shop.kill().await;
        shop.until("refunded").await;
        shop.assert_refunded_once().await;
    }

    async fn a_kill_between_the_refund_and_its_conclusion_refunds_once(engine: Engine) {
        kill_before_the_conclusion_of_a_refund(Shop::open(engine, magic::REFUND_SLOW).await).await;
    }

    async fn a_kill_after_the_answer_to_a_refund_was_lost_refunds_once(engine: Engine) {
        // The second attempt is held from its conclusion.
        kill_before_the_conclusion_of_a_refund(Shop::open(engine, magic::REFUND_LOST).await).await;
    }
}

async fn kill_before_the_conclusion_of_a_refund(mut shop: Shop) {
    shop.until("authorized").await;
    shop.cancel_paid().await;
    let lock = shop.lock().await;
    eventually("the money is given back", async || shop.refunded() == 1).await;
    shop.kill().await;
    lock.rollback().await.unwrap();
    shop.until("refunded").await;
    shop.assert_refunded_once().await;
}
