//! What Stripe may answer and localstripe never does: each answer has its class, and whatever is unknown is looked up.

use std::time::Duration;

use payment_svc::provider::Attempt::{First, Repeat};
use payment_svc::provider::ProviderError::{self, Invalid, Refused, Throttled, Unknown, Unreachable};
use payment_svc::provider::{ChargeOutcome, IntentId, Provider, RefundOutcome};
use runtime::config::Secret;
use serde_json::json;
use stack::testing::Port;

use crate::asked::{charge, refund, settings, stripe};
use crate::stand_in::{Answer, StandIn, intent};

const CONFIRM: &str = "POST /v1/payment_intents/pi_1/confirm";
const FIND: &str = "GET /v1/payment_intents/pi_1";
const REFUND: &str = "POST /v1/refunds";
const FIND_REFUND: &str = "GET /v1/refunds?payment_intent=pi_1&limit=100";

fn pi_1() -> IntentId {
    "pi_1".parse().unwrap()
}

fn charged() -> ChargeOutcome {
    ChargeOutcome::Charged { provider_id: "pi_1".to_owned() }
}

fn class(fault: &ProviderError) -> &'static str {
    match fault {
        Unreachable(_) => "unreachable",
        Refused(_) => "refused",
        Throttled { .. } => "throttled",
        Unknown(_) => "unknown",
        Invalid { .. } => "invalid",
    }
}

/// An answer that leaves open what became of the request.
fn open_ends() -> Vec<(&'static str, Answer)> {
    let error = Answer::error(500, "api_error", "");
    vec![
        ("5xx", error.clone()),
        ("5xx of a proxy", Answer::text(503, "<html>try later</html>")),
        ("request time-out", Answer::text(408, "")),
        ("a body that breaks off", intent("succeeded").breaks_off()),
        ("an error that breaks off", error.breaks_off()),
        ("no JSON", Answer::text(200, "{\"id\": \"pi_1\", \"sta")),
        ("another thing", Answer::new(200, &json!({ "object": "list" }))),
        ("a state that nobody knows", intent("requires_prayer")),
        ("a huge body", Answer::text(200, &" ".repeat(600 * 1024))),
    ]
}

#[tokio::test]
async fn what_may_have_been_charged_is_looked_up_and_not_charged_again() {
    for (name, answer) in open_ends() {
        let server = StandIn::start([answer, intent("succeeded")]).await;
        let provider = stripe(&server.url, &[]).await;
        let fault = provider.charge(&pi_1(), First).await.unwrap_err();
        assert_eq!(class(&fault), "unknown", "{name}: {fault:?}");
        assert_eq!(server.requests(), [CONFIRM], "{name}");
        assert_eq!(provider.charge(&pi_1(), Repeat).await.unwrap(), charged(), "{name}");
        assert_eq!(server.requests(), [FIND], "{name}");
    }
}

#[tokio::test]
async fn what_was_not_charged_after_all_is_charged_when_that_is_known() {
    let script = [Answer::error(500, "api_error", ""), intent("requires_confirmation"), intent("succeeded")];
    let server = StandIn::start(script).await;
    let provider = stripe(&server.url, &[]).await;
    provider.charge(&pi_1(), First).await.unwrap_err();
    assert_eq!(provider.charge(&pi_1(), Repeat).await.unwrap(), charged());
    let asked = server.asked();
    assert_eq!(asked.iter().map(|asked| asked.what.as_str()).collect::<Vec<_>>(), [CONFIRM, FIND, CONFIRM]);
    assert!(asked.iter().all(|asked| asked.key.is_none()), "a key would bring the stored 500 back: {asked:?}");
}

#[tokio::test]
async fn what_may_have_been_refunded_is_looked_up_and_not_refunded_again() {
    let charge = charge();
    let refund = refund(&charge, &pi_1());
    let ours = json!({ "id": "re_1", "status": "pending", "metadata": { "payment_id": charge.reference } });
    let found = Answer::new(200, &json!({ "data": [{ "id": "re_0", "status": "failed" }, ours] }));
    let server = StandIn::start([Answer::error(500, "api_error", ""), found]).await;
    let provider = stripe(&server.url, &[]).await;
    let fault = provider.refund(&refund, First).await.unwrap_err();
    assert_eq!(class(&fault), "unknown", "{fault:?}");
    let outcome = provider.refund(&refund, Repeat).await.unwrap();
    assert_eq!(outcome, RefundOutcome::Refunded { provider_id: "re_1".to_owned() });
    assert_eq!(server.requests(), [REFUND, FIND_REFUND]);
}

#[tokio::test]
async fn a_stored_5xx_is_not_asked_for_again_under_its_key() {
    let stored = || Answer::error(500, "api_error", "").header("idempotent-replayed", "true");
    let nothing = Answer::new(200, &json!({ "data": [] }));
    let done = Answer::new(200, &json!({ "id": "re_1", "status": "succeeded" }));
    let server = StandIn::start([stored(), intent("requires_confirmation"), nothing, stored(), done]).await;
    let provider = stripe(&server.url, &[]).await;
    let charge = charge();
    assert_eq!(provider.prepare(&charge).await.unwrap(), pi_1());
    let keys = |server: &StandIn| server.asked().into_iter().map(|asked| asked.key).collect::<Vec<_>>();
    assert_eq!(keys(&server), [Some(charge.key.clone()), None]);

    let refund = refund(&charge, &pi_1());
    let outcome = provider.refund(&refund, Repeat).await.unwrap();
    assert_eq!(outcome, RefundOutcome::Refunded { provider_id: "re_1".to_owned() });
    assert_eq!(keys(&server), [None, Some(refund.key.clone()), None]);
}

#[tokio::test]
async fn what_was_given_back_before_is_not_given_back_again() {
    let by_hand = json!({ "id": "re_9", "status": "succeeded", "metadata": {} });
    let script = [
        Answer::error(400, "charge_already_refunded", ""),
        Answer::new(200, &json!({ "data": [by_hand] })),
        Answer::error(400, "charge_disputed", ""),
        Answer::new(200, &json!({ "data": [] })),
        Answer::new(200, &json!({ "id": "re_2", "status": "failed", "failure_reason": "lost_or_stolen_card" })),
        Answer::error(402, "insufficient_funds", ""),
    ];
    let server = StandIn::start(script).await;
    let provider = stripe(&server.url, &[]).await;
    let refund = refund(&charge(), &pi_1());
    let outcome = provider.refund(&refund, First).await.unwrap();
    assert_eq!(outcome, RefundOutcome::Refunded { provider_id: "re_9".to_owned() });
    let fault = provider.refund(&refund, First).await.unwrap_err();
    assert_eq!(class(&fault), "invalid", "{fault:?}");
    for code in ["refund_failed", "insufficient_funds"] {
        let outcome = provider.refund(&refund, First).await.unwrap();
        assert!(matches!(&outcome, RefundOutcome::Declined(decline) if decline.code == code), "{outcome:?}");
    }
}

#[tokio::test]
async fn each_answer_has_its_class() {
    let table = [
        ("refused", Answer::error(401, "api_key_expired", "")),
        ("refused", Answer::error(403, "permission_denied", "")),
        ("refused", Answer::error(404, "resource_missing", "intent")),
        ("refused", Answer::text(404, "<html>no such page</html>")),
        ("refused", Answer::text(302, "").header("location", "https://elsewhere.example.com")),
        ("refused", Answer::error(400, "parameter_invalid_string", "payment_method")),
        ("refused", Answer::error(400, "testmode_charges_only", "")),
        ("throttled", Answer::error(409, "idempotency_key_in_use", "")),
        ("throttled", Answer::error(429, "lock_timeout", "")),
        ("invalid", Answer::error(400, "amount_too_small", "amount")),
        ("invalid", Answer::error(422, "odd", "")),
    ];
    for (expected, answer) in table {
        let told = format!("{answer:?}");
        let server = StandIn::start([answer]).await;
        let provider = stripe(&server.url, &[]).await;
        let fault = provider.prepare(&charge()).await.unwrap_err();
        assert_eq!(class(&fault), expected, "{told}: {fault:?}");
        assert_eq!(server.requests().len(), 1, "{told}");
    }
}

#[tokio::test]
async fn a_charge_that_stripe_rejects_is_looked_up_for_it_may_have_ended_before() {
    let unexpected = || Answer::error(400, "payment_intent_unexpected_state", "");
    let script = [
        unexpected(),
        intent("succeeded"),
        unexpected(),
        intent("canceled"),
        unexpected(),
        intent("requires_confirmation"),
    ];
    let server = StandIn::start(script).await;
    let provider = stripe(&server.url, &[]).await;
    assert_eq!(provider.charge(&pi_1(), First).await.unwrap(), charged());
    assert_eq!(provider.charge(&pi_1(), First).await.unwrap(), ChargeOutcome::Withdrawn);
    let fault = provider.charge(&pi_1(), First).await.unwrap_err();
    assert_eq!(class(&fault), "invalid", "{fault:?}");
    assert_eq!(server.requests(), [CONFIRM, FIND].repeat(3));
}

#[tokio::test]
async fn a_decline_says_no_more_than_a_customer_may_know() {
    let fault = json!({ "code": "card_declined", "decline_code": "stolen_card", "message": "x".repeat(9999) });
    let declined = Answer::new(402, &json!({ "error": fault }));
    let server = StandIn::start([declined, intent("requires_action")]).await;
    let provider = stripe(&server.url, &[]).await;
    for code in ["card_declined", "authentication_required"] {
        let outcome = provider.charge(&pi_1(), First).await.unwrap();
        let ChargeOutcome::Declined(decline) = outcome else { panic!("{outcome:?}") };
        assert_eq!(decline.code, code);
        assert!(decline.message.chars().count() <= 500, "{}", decline.message);
    }
}

#[tokio::test]
async fn a_request_to_wait_says_how_long() {
    let busy = || Answer::error(429, "rate_limit", "");
    let script = [
        busy().header("retry-after", "7"),
        busy(),
        busy().header("retry-after", "Fri, 31 Dec 2999 23:59:59 GMT"),
        busy().header("retry-after", "99999999"),
        intent("processing"),
    ];
    let server = StandIn::start(script).await;
    let provider = stripe(&server.url, &[]).await;
    for seconds in [Some(7), None, None, Some(3600)] {
        let fault = provider.charge(&pi_1(), First).await.unwrap_err();
        let expected = seconds.map(Duration::from_secs);
        assert!(matches!(fault, Throttled { retry_after } if retry_after == expected), "{seconds:?}: {fault:?}");
    }
    let fault = provider.charge(&pi_1(), Repeat).await.unwrap_err();
    assert_eq!(class(&fault), "throttled", "Stripe is still at it: {fault:?}");
}

#[tokio::test]
async fn a_question_that_fails_takes_no_money_and_leaves_nothing_open() {
    // A state that nobody knows is this charge's own.
    for (name, answer) in open_ends().into_iter().filter(|(name, _)| !name.starts_with("a state")) {
        let server = StandIn::start([answer]).await;
        let provider = stripe(&server.url, &[]).await;
        let fault = provider.charge(&pi_1(), Repeat).await.unwrap_err();
        assert_eq!(class(&fault), "unreachable", "{name}: {fault:?}");
        assert_eq!(server.requests(), [FIND], "{name}");
    }
}

#[tokio::test]
async fn nobody_at_the_address_costs_nothing() {
    let port = Port::reserve();
    let provider = stripe(&format!("http://127.0.0.1:{}", port.number()), &[]).await;
    let faults = [
        provider.prepare(&charge()).await.map(drop),
        provider.charge(&pi_1(), First).await.map(drop),
        provider.refund(&refund(&charge(), &pi_1()), First).await.map(drop),
        provider.withdraw(&pi_1()).await.map(drop),
    ];
    for fault in faults {
        assert!(matches!(fault, Err(Unreachable(_))), "{fault:?}");
    }
}

#[tokio::test]
async fn a_key_that_was_rotated_is_read_again_from_its_file() {
    let refused = || Answer::error(401, "api_key_expired", "");
    let server = StandIn::start([refused(), refused(), intent("succeeded"), intent("succeeded")]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "sk_test_old\n").unwrap();
    let mut settings = settings(&server.url, &[]);
    settings.stripe_api_key = Some(Secret::in_file(file.path()).unwrap());
    let provider = Provider::open(&settings).await.unwrap();
    assert!(matches!(provider.find(&pi_1()).await, Err(Refused(_))));
    std::fs::write(&file, "sk_test_new\n").unwrap();
    for _ in 0..2 {
        provider.find(&pi_1()).await.unwrap();
    }
    let bearers: Vec<String> = server.asked().into_iter().map(|asked| asked.bearer).collect();
    assert_eq!(bearers, ["old", "old", "new", "new"].map(|key| format!("Bearer sk_test_{key}")));
    assert!(!format!("{provider:?} {settings:?}").contains("sk_test"), "a key does not print");
}

#[tokio::test]
async fn nobody_without_a_certificate_that_we_trust_is_told_the_key() {
    let (server, certificate) = StandIn::start_with_tls([intent("succeeded")]).await;
    let fault = stripe(&server.url, &[]).await.find(&pi_1()).await.unwrap_err();
    assert_eq!(class(&fault), "unreachable", "{fault:?}");
    assert_eq!(server.requests(), Vec::<String>::new());

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, certificate).unwrap();
    let provider = stripe(&server.url, &["--stripe-ca-file", file.path().to_str().unwrap()]).await;
    provider.find(&pi_1()).await.unwrap();
    assert_eq!(server.requests(), [FIND]);
}
