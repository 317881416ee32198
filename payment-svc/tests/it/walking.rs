//! The walk of an order's money through the services, as processes under their least-privilege users.

use async_nats::jetstream;
use payment_svc::provider::{ledger, magic};
use schema::names;
use serde_json::{Value, json};
use stack::both_engines;
use stack::service::Program;
use stack::testing::{Database, Engine, Nats, Service, assert_series, eventually};
use tempfile::TempDir;

use crate::services::{place, service};

struct Shop {
    nats: Nats,
    _databases: [Database; 2],
    order_svc: Service,
    _relays: [Service; 2],
    payment_svc: Service,
    folder: TempDir,
}

impl Shop {
    async fn open(engine: Engine) -> Self {
        let nats = Nats::start_with_accounts().await;
        let orders = Database::create(engine, &schema::database::ORDERS).await;
        let payments = Database::create(engine, &schema::database::PAYMENTS).await;
        let folder = tempfile::tempdir().unwrap();
        let payment_svc = service(Program::PaymentSvc, &payments, &nats)
            .env("PAYMENT_PROVIDER", "simulated")
            .env("PAYMENT_SIMULATOR_DIR", folder.path().to_str().unwrap());
        let order_svc = service(Program::OrderSvc, &orders, &nats).env("PAYMENTS_STREAM", names::PAYMENTS_STREAM);
        let order_svc = order_svc.start().await;
        let relay = service(Program::OutboxRelay, &orders, &nats).start().await;
        let payment_relay = service(Program::PaymentRelay, &payments, &nats).start().await;
        let payment_svc = payment_svc.start().await;
        Self { nats, _databases: [orders, payments], order_svc, _relays: [relay, payment_relay], payment_svc, folder }
    }

    async fn place(&self, product: &str) -> String {
        place(&self.order_svc, product).await
    }

    async fn cancel(&self, order: &str) {
        let cancel = self.order_svc.url(&format!("/api/orders/{order}/cancel"));
        assert!(reqwest::Client::new().post(cancel).send().await.unwrap().status().is_success());
    }

    async fn payment(&self, order: &str) -> Option<Value> {
        let url = self.payment_svc.url(&format!("/api/payments?order_id={order}"));
        let found: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
        found["payments"].as_array()?.first().cloned()
    }

    /// The id of the order's payment, when it is in one of these states.
    async fn until(&self, order: &str, states: &[&str]) -> String {
        let mut found = None;
        eventually(&format!("{order} is {states:?}"), async || {
            found = self.payment(order).await;
            found.as_ref().is_some_and(|payment| states.contains(&payment["state"].as_str().unwrap()))
        })
        .await;
        let id = found.unwrap()["id"].as_str().unwrap().to_owned();
        let one = reqwest::get(self.payment_svc.url(&format!("/api/payments/{id}"))).await.unwrap();
        assert_eq!(one.json::<Value>().await.unwrap()["order_id"], order);
        id
    }

    /// What the stream of the payments has about one of them: types with versions, and the last payload.
    async fn told(&self, payment: &str) -> (Vec<String>, Value) {
        let context = jetstream::new(Nats::operator(&self.nats.url()).await);
        let mut stream = context.get_stream(names::PAYMENTS_STREAM).await.unwrap();
        let (mut told, mut last) = (Vec::new(), Value::Null);
        for sequence in 1..=stream.info().await.unwrap().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let header = |name: &str| message.headers.get(name).unwrap().to_string();
            if header("ce-subject") == payment {
                told.push(format!("{} {}", header("ce-type"), header("ce-aggregateversion")));
                last = serde_json::from_slice(&message.payload).unwrap();
            }
        }
        (told, last)
    }

    async fn until_told(&self, payment: &str, expected: &[&str]) -> Value {
        eventually(&format!("{expected:?} of {payment}"), async || self.told(payment).await.0 == expected).await;
        self.told(payment).await.1
    }

    async fn until_shown(&self, order: &str, status: &str, payment: &str) {
        eventually(&format!("{order} is {status} and {payment}"), async || {
            let found = reqwest::get(self.order_svc.url(&format!("/api/orders/{order}"))).await.unwrap();
            let found: Value = found.json().await.unwrap();
            found["status"] == status && found["payment"] == payment
        })
        .await;
    }

    /// What the provider took for an order, and whether it gave it back.
    fn taken(&self, order: &str) -> Vec<(u64, bool)> {
        let entries = ledger(self.folder.path()).unwrap().into_iter();
        let charged = entries.filter(|entry| entry.charged && entry.order_id.to_string() == order);
        charged.map(|entry| (entry.amount_minor, entry.refunded)).collect()
    }
}

both_engines! {
    async fn an_order_is_charged_and_refunded_when_it_is_cancelled(engine: Engine) {
        let shop = Shop::open(engine).await;
        let order = shop.place("Espresso machine").await;
        let payment = shop.until(&order, &["authorized"]).await;
        let payload = shop.until_told(&payment, &["payment.authorized 1"]).await;
        assert_eq!(payload["order_id"], order.as_str());
        assert_eq!((&payload["amount_minor"], &payload["currency"]), (&json!(2000), &json!("EUR")));
        assert_eq!(shop.taken(&order), [(2000, false)]);
        shop.until_shown(&order, "placed", "authorized").await;

        shop.cancel(&order).await;
        assert_eq!(shop.until(&order, &["refunded"]).await, payment);
        shop.until_told(&payment, &["payment.authorized 1", "payment.refunded 2"]).await;
        assert_eq!(shop.taken(&order), [(2000, true)]);
        shop.until_shown(&order, "cancelled", "refunded").await;

        let status: Value = reqwest::get(shop.payment_svc.url("/api/payments/events/status")).await.unwrap().json().await.unwrap();
        assert_eq!((&status["inbox"]["connection"], &status["outbox"]["dead"]), (&json!("connected"), &json!(0)), "{status}");
        assert!(!shop.payment_svc.log().contains("denied"), "{}", shop.payment_svc.log());
    }

    async fn orders_are_placed_while_payment_svc_is_away_and_paid_when_it_returns(engine: Engine) {
        let mut shop = Shop::open(engine).await;
        shop.payment_svc.kill().await;
        let (paid, cancelled) = (shop.place("Mug").await, shop.place("Mug").await);
        shop.cancel(&cancelled).await;
        shop.payment_svc.restart().await;
        shop.until(&paid, &["authorized"]).await;
        // Both of its events may come together, or the second one in time, or too late.
        shop.until(&cancelled, &["withdrawn", "refunded"]).await;
        assert_eq!(shop.taken(&paid), [(2000, false)]);
        assert!(shop.taken(&cancelled).iter().all(|(_, refunded)| *refunded));
    }

    async fn a_declined_order_and_lost_answers_end_as_they_should(engine: Engine) {
        let shop = Shop::open(engine).await;
        let [declined, lost, slow] = [magic::DECLINED, magic::REFUND_LOST, magic::SLOW];
        let (declined, lost, slow) = (shop.place(declined).await, shop.place(lost).await, shop.place(slow).await);
        let payment = shop.until(&declined, &["declined"]).await;
        let payload = shop.until_told(&payment, &["payment.declined 1"]).await;
        assert_eq!(payload["reason"], "card_declined");
        // Nobody asked for it: order-svc heard of it. payment-svc hears of that in turn, and nothing is left to do.
        shop.until_shown(&declined, "cancelled", "declined").await;
        // Cancelled while the charge is under way, as likely as not.
        shop.until(&slow, &["due", "authorized"]).await;
        shop.cancel(&slow).await;
        shop.until(&lost, &["authorized"]).await;
        shop.cancel(&lost).await;
        shop.until(&lost, &["refunded"]).await;
        shop.until(&slow, &["withdrawn", "refunded"]).await;
        assert_eq!(shop.taken(&lost), [(2000, true)]);
        assert!(shop.taken(&slow).iter().all(|(_, refunded)| *refunded));
        assert_eq!(shop.taken(&declined), []);
        assert_eq!(shop.told(&payment).await.0, ["payment.declined 1"], "the circle ends");
    }
}

#[tokio::test]
async fn pages_of_payments_hold_each_once_and_follow_the_filters() {
    let shop = Shop::open(Engine::MySql).await;
    let mut orders = Vec::new();
    for product in ["Mug", "Mug", "Mug", magic::DECLINED] {
        orders.push(shop.place(product).await);
    }
    for (order, state) in orders.iter().zip(["authorized", "authorized", "authorized", "declined"]) {
        shop.until(order, &[state]).await;
    }
    let page = async |query: String| -> Value {
        let url = shop.payment_svc.url(&format!("/api/payments?{query}"));
        reqwest::get(url).await.unwrap().json().await.unwrap()
    };
    let (mut ids, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = page(query).await;
        ids.extend(page["payments"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        query = format!("limit=2&cursor={next}");
    }
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().rev().is_sorted(), "newest first: {ids:?}");
    let count = async |query: &str| page(query.to_owned()).await["payments"].as_array().map(Vec::len);
    assert_eq!(count("state=declined").await, Some(1));
    assert_eq!(count(&format!("state=declined&order_id={}", orders[0])).await, Some(0));
    let refused = page("state=paid&limit=0&order_id=1&order=1".to_owned()).await;
    assert_eq!(refused["code"], "invalid-query");
    let pointers: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|broken| &broken["pointer"]).collect();
    assert_eq!(pointers, ["state", "limit", "order_id", "order"]);
}

/// Every series that operators may build on is there before anything happened. `UPDATE_GOLDEN=1` writes the list again.
#[tokio::test]
async fn metrics_keep_their_names_and_labels() {
    let shop = Shop::open(Engine::MySql).await;
    reqwest::get(shop.payment_svc.url("/api/payments?order_id=019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")).await.unwrap();
    let text = reqwest::get(shop.payment_svc.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    assert_series(&text, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/metrics.txt"));
}
