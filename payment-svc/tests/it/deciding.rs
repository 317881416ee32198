//! Payments that no attempt moves any more: each is told to operators, in a state that is true, and has a way on.

use payment_svc::provider::magic;
use stack::both_engines;
use stack::testing::Engine;

use crate::shop::Shop;

fn decided(decisions: &[(&str, &str)]) -> Vec<(String, String, String)> {
    let each = |(action, state): &(&str, &str)| ("ada".to_owned(), (*action).to_owned(), (*state).to_owned());
    decisions.iter().map(each).collect()
}

/// Runs a verb that decides; it is carried out.
fn carried_out(shop: &Shop, arguments: &[&str]) {
    let (is_done, said) = shop.decide(arguments);
    assert!(is_done, "{arguments:?}: {said}");
}

/// Runs a verb that decides; it is refused with these words.
fn refused(shop: &Shop, arguments: &[&str], words: &str) {
    let (is_done, said) = shop.decide(arguments);
    assert!(!is_done && said.contains(words), "{arguments:?}: {said}");
}

both_engines! {
    async fn a_declined_refund_is_told_and_asked_for_again_until_the_provider_gives_the_money_back(engine: Engine) {
        let shop = Shop::open(engine, magic::REFUND_DECLINED).await;
        shop.until("authorized").await;
        shop.cancel_paid().await;
        shop.until("refund_declined").await;
        shop.until_stuck(&["refund_declined", "refund done"]).await;
        carried_out(&shop, &["payment", "refund", &shop.id()]);
        shop.until("refund_declined").await;
        assert_eq!((shop.charged(), shop.refunded()), (1, 0));
        shop.forget_refund();
        carried_out(&shop, &["payment", "refund", &shop.id()]);
        shop.until("refunded").await;
        shop.assert_refunded_once().await;
        shop.until_none_is_stuck().await;
        refused(&shop, &["payment", "refund", &shop.id()], "is refunded");
        assert_eq!(shop.decisions().await, decided(&[("refund", "refund_declined"), ("refund", "refund_declined")]));
    }

    async fn money_that_a_person_gave_back_by_another_way_is_told_as_refunded(engine: Engine) {
        let shop = Shop::open(engine, magic::REFUND_DECLINED).await;
        shop.until("authorized").await;
        refused(&shop, &["payment", "settle", &shop.id(), "--as", "refunded"], "is authorized");
        shop.cancel_paid().await;
        shop.until("refund_declined").await;
        carried_out(&shop, &["payment", "settle", &shop.id(), "--as", "refunded"]);
        assert_eq!((shop.state().await.as_str(), shop.charged(), shop.refunded()), ("refunded", 1, 0));
        assert_eq!(shop.events().await, ["payment.authorized", "payment.refunded"]);
        shop.until_none_is_stuck().await;
        assert_eq!(shop.decisions().await, decided(&[("settle as refunded", "refund_declined")]));
    }

    async fn a_charge_that_can_never_be_made_waits_for_a_person_who_ends_it(engine: Engine) {
        let shop = Shop::open(engine, magic::INVALID).await;
        let charge = shop.until_effect("charge", "dead").await;
        shop.until_stuck(&["due", "charge dead", "amount_invalid"]).await;
        carried_out(&shop, &["effect", "requeue", &charge]);
        shop.until_effect("charge", "dead").await;
        carried_out(&shop, &["effect", "discard", &charge]);
        shop.until_stuck(&["due", "charge discarded"]).await;
        carried_out(&shop, &["payment", "settle", &shop.id(), "--as", "never-charged"]);
        assert_eq!((shop.state().await.as_str(), shop.charged()), ("declined", 0));
        assert_eq!(shop.events().await, ["payment.declined"]);
        shop.until_none_is_stuck().await;
        refused(&shop, &["effect", "requeue", &charge], "is withdrawn");
        refused(&shop, &["payment", "settle", &shop.id(), "--as", "charged"], "is declined");
    }

    async fn a_cancelled_order_whose_charge_nobody_knows_of_keeps_no_money_once_it_is_looked_up(engine: Engine) {
        let mut shop = Shop::closed(engine, magic::LOST).await;
        shop.set("EFFECT_ATTEMPTS_MAX", "1");
        shop.service.spawn();
        let charge = shop.until_effect("charge", "dead").await;
        shop.cancel().await;
        shop.until_stuck(&["cancelling", "charge dead", "yes", "the simulated answer was lost"]).await;
        carried_out(&shop, &["effect", "discard", &charge]);
        shop.until_stuck(&["cancelling", "charge discarded"]).await;
        carried_out(&shop, &["effect", "requeue", &charge]);
        shop.until("refunded").await;
        shop.assert_refunded_once().await;
        shop.until_none_is_stuck().await;
    }

    async fn a_refund_that_was_given_up_is_told_until_it_is_looked_up_or_settled(engine: Engine) {
        let mut shop = Shop::closed(engine, magic::REFUND_LOST).await;
        shop.set("EFFECT_ATTEMPTS_MAX", "1");
        shop.service.spawn();
        shop.until("authorized").await;
        shop.cancel_paid().await;
        let refund = shop.until_effect("refund", "dead").await;
        carried_out(&shop, &["effect", "discard", &refund]);
        shop.until_stuck(&["refunding", "refund discarded", "yes"]).await;
        shop.purge(&refund).await;
        shop.until_stuck(&["refunding", "refund purged", "yes"]).await;
        carried_out(&shop, &["payment", "settle", &shop.id(), "--as", "refunded"]);
        assert_eq!(shop.state().await, "refunded");
        shop.assert_refunded_once().await;
        shop.until_none_is_stuck().await;
        refused(&shop, &["effect", "requeue", &refund], "no effect");
    }

    async fn nothing_is_settled_while_the_provider_is_asked(engine: Engine) {
        let mut shop = Shop::open(engine, magic::SLOW).await;
        shop.until_under_way("charge").await;
        shop.service.freeze();
        refused(&shop, &["payment", "settle", &shop.id(), "--as", "never-charged"], "is being performed");
        shop.service.thaw();
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.decisions().await), (1, Vec::new()));
    }
}
