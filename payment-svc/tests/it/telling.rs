//! What the customer hears of the money: all services as processes, under their users at the databases and at NATS.

use payment_svc::provider::magic;
use schema::names;
use serde_json::Value;
use stack::both_engines;
use stack::service::Program;
use stack::testing::{Database, Engine, Nats, Service, eventually};
use tempfile::TempDir;

use crate::services::{place, service};

struct Shop {
    _databases: [Database; 3],
    _relays: [Service; 2],
    _payment_svc: Service,
    _folder: TempDir,
    _nats: Nats,
    order_svc: Service,
    notify_svc: Service,
}

impl Shop {
    async fn open(engine: Engine) -> Self {
        let nats = Nats::start_with_accounts().await;
        let orders = Database::create(engine, &schema::database::ORDERS).await;
        let payments = Database::create(engine, &schema::database::PAYMENTS).await;
        let notifications = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let folder = tempfile::tempdir().unwrap();
        let order_svc = service(Program::OrderSvc, &orders, &nats).env("PAYMENTS_STREAM", names::PAYMENTS_STREAM);
        let payment_svc = service(Program::PaymentSvc, &payments, &nats)
            .env("PAYMENT_PROVIDER", "simulated")
            .env("PAYMENT_SIMULATOR_DIR", folder.path().to_str().unwrap());
        let notify_svc = service(Program::NotifySvc, &notifications, &nats)
            .env("PAYMENTS_STREAM", names::PAYMENTS_STREAM)
            .env("EMAIL_TRANSPORT", "log");
        let order_svc = order_svc.start().await;
        let relay = service(Program::OutboxRelay, &orders, &nats).start().await;
        let payment_relay = service(Program::PaymentRelay, &payments, &nats).start().await;
        Self {
            order_svc,
            _payment_svc: payment_svc.start().await,
            notify_svc: notify_svc.start().await,
            _relays: [relay, payment_relay],
            _databases: [orders, payments, notifications],
            _folder: folder,
            _nats: nats,
        }
    }

    async fn until_told(&self, order: &str, expected: &[&str]) {
        eventually(&format!("{expected:?} about {order}"), async || {
            let url = self.notify_svc.url(&format!("/api/notifications?order_id={order}"));
            let found: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
            let found = found["notifications"].as_array().unwrap();
            let mut told: Vec<_> = found.iter().map(|one| one["event_type"].as_str().unwrap()).collect();
            told.sort_unstable();
            told == expected && found.iter().all(|one| one["email"]["state"] == "sent")
        })
        .await;
    }
}

both_engines! {
    async fn the_customer_hears_of_a_declined_and_of_a_refunded_payment(engine: Engine) {
        let shop = Shop::open(engine).await;
        let declined = place(&shop.order_svc, magic::DECLINED).await;
        shop.until_told(&declined, &["order.cancelled", "order.created", "payment.declined"]).await;
        let refunded = place(&shop.order_svc, "Espresso machine").await;
        eventually("it is paid", async || {
            let shown = reqwest::get(shop.order_svc.url(&format!("/api/orders/{refunded}"))).await.unwrap();
            shown.json::<Value>().await.unwrap()["payment"] == "authorized"
        })
        .await;
        let cancel = shop.order_svc.url(&format!("/api/orders/{refunded}/cancel"));
        assert!(reqwest::Client::new().post(cancel).send().await.unwrap().status().is_success());
        shop.until_told(&refunded, &["order.cancelled", "order.created", "payment.refunded"]).await;
        assert!(!shop.notify_svc.log().to_lowercase().contains("permissions violation"), "{}", shop.notify_svc.log());
    }
}
