//! The customer of an order is told when its payment is declined or refunded: one notification and one email for each event,
//! whichever stream tells first.

use std::num::NonZeroU32;

use chrono::Utc;
use schema::envelope::Envelope;
use schema::event::SCHEMA_VERSION;
use schema::ids::{EventId, OrderId, PaymentId};
use schema::names;
use schema::payment::{PaymentAuthorized, PaymentDeclined, PaymentEvent, PaymentRefunded};
use serde_json::Value;
use stack::smtp::{Mail, SmtpServer};
use stack::testing::{Service, eventually};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, get, verb, verb_json};

/// Ids and versions as payment-svc gives them.
fn payment(order_id: OrderId) -> [Published; 3] {
    let (payment_id, amount_minor, currency) = (PaymentId::generate(), 2000, "EUR".to_owned());
    let (schema_version, now) = (SCHEMA_VERSION, Utc::now());
    let authorized = PaymentEvent::Authorized(PaymentAuthorized {
        schema_version,
        payment_id,
        order_id,
        amount_minor,
        currency: currency.clone(),
        authorized_at: now,
    });
    let declined = PaymentEvent::Declined(PaymentDeclined {
        schema_version,
        payment_id,
        order_id,
        amount_minor,
        currency: currency.clone(),
        reason: "card_declined".to_owned(),
        declined_at: now,
    });
    let refunded = PaymentEvent::Refunded(PaymentRefunded {
        schema_version,
        payment_id,
        order_id,
        amount_minor,
        currency,
        refunded_at: now,
    });
    [published(&authorized, 1), published(&declined, 1), published(&refunded, 2)]
}

fn published(event: &PaymentEvent, version: u32) -> Published {
    let envelope = Envelope {
        event_id: EventId::generate(),
        source: names::PAYMENTS_SOURCE.to_owned(),
        event_type: event.event_type().to_string(),
        aggregate_type: names::PAYMENT.to_owned(),
        aggregate_id: event.payment_id().into(),
        aggregate_version: NonZeroU32::new(version),
        occurred_at: Utc::now(),
    };
    Published { subject: event.event_type().to_string(), envelope, body: event.payload().unwrap(), is_tombstone: false }
}

/// With both streams, and a mail server.
async fn start(engine: Engine) -> (Setting, SmtpServer, Service) {
    let setting = Setting::new(engine).await;
    setting.create_payments_stream().await;
    let mut server = SmtpServer::new();
    server.start().await.unwrap();
    let service = setting.service().env("PAYMENTS_STREAM", names::PAYMENTS_STREAM);
    let service = service.env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", server.url()).start().await;
    (setting, server, service)
}

/// What was notified of an order, when there are so many and all are sent.
async fn until_told(service: &Service, order_id: OrderId, notifications: usize) -> Vec<String> {
    let mut told = Vec::new();
    eventually(&format!("{notifications} notifications of {order_id}"), async || {
        let found = get(service, &format!("/api/notifications?order_id={order_id}")).await;
        told = found["notifications"].as_array().unwrap().clone();
        told.len() == notifications && told.iter().all(|one| one["email"]["state"] == "sent")
    })
    .await;
    let mut types: Vec<_> = told.iter().map(|one: &Value| one["event_type"].as_str().unwrap().to_owned()).collect();
    types.sort();
    types
}

fn about<'a>(mails: &'a [Mail], words: &str) -> Vec<&'a Mail> {
    mails.iter().filter(|mail| mail.header("Subject").contains(words)).collect()
}

both_engines! {
    async fn the_customer_of_a_declined_payment_gets_one_email_about_it(engine: Engine) {
        let (setting, server, service) = start(engine).await;
        let order = Published::created();
        let [_, declined, _] = payment(order.order_id());
        setting.publish(&[&order]).await;
        until_told(&service, order.order_id(), 1).await;
        setting.publish(&[&declined, &declined]).await;
        setting.publish(&[&Published::cancelled_of(order.order_id())]).await;
        let told = until_told(&service, order.order_id(), 3).await;
        assert_eq!(told, ["order.cancelled", "order.created", "payment.declined"]);
        let mails = server.mails();
        let [mail] = about(&mails, "payment")[..] else { panic!("{mails:?}") };
        assert_eq!(mail.recipients, ["ada@example.com"]);
        assert_eq!(mail.header("Subject"), "The payment of your order of Espresso machine was declined");
        assert!(!mail.content.contains("card_declined"), "the provider's reason is not for the customer");
        assert_eq!(mails.len(), 3);
    }

    async fn the_customer_of_a_refunded_payment_gets_one_email_about_it(engine: Engine) {
        let (setting, server, service) = start(engine).await;
        let order = Published::created();
        let [authorized, _, refunded] = payment(order.order_id());
        setting.publish(&[&order, &Published::cancelled_of(order.order_id())]).await;
        setting.publish(&[&authorized, &refunded]).await;
        let told = until_told(&service, order.order_id(), 3).await;
        assert_eq!(told, ["order.cancelled", "order.created", "payment.refunded"]);
        let mails = server.mails();
        let [mail] = about(&mails, "refunded")[..] else { panic!("{mails:?}") };
        assert!(mail.content.contains(&order.order_id().to_string()), "{}", mail.content);
        assert_eq!(mails.len(), 3);
    }

    async fn a_payment_that_is_told_of_before_its_order_waits_for_it(engine: Engine) {
        let (setting, server, service) = start(engine).await;
        let order = Published::created();
        let [authorized, _, refunded] = payment(order.order_id());
        setting.publish(&[&authorized, &refunded]).await;
        setting.until_count("inbox_parked WHERE consumer = 'notify-svc-payments'", 1).await;
        let (is_success, gaps) = verb_json(&setting, &["payments", "gap", "list"]);
        assert!(is_success && gaps.as_array().unwrap().len() == 1, "{gaps}");
        let (is_success, gaps) = verb_json(&setting, &["gap", "list"]);
        assert!(is_success && gaps.as_array().unwrap().is_empty(), "{gaps}");
        assert_eq!(get(&service, "/api/events/status").await["payments"]["stream"]["name"], names::PAYMENTS_STREAM);
        assert_eq!((setting.count("notifications").await, setting.count("inbox_dead").await), (0, 0));
        setting.publish(&[&order]).await;
        assert_eq!(until_told(&service, order.order_id(), 2).await, ["order.created", "payment.refunded"]);
        assert_eq!(server.mails().len(), 2);
        let (is_success, said) = verb(&setting, &["payments", "inbox", "show", &refunded.envelope.event_id.to_string()]);
        assert!(is_success, "{said}");
    }
}

#[tokio::test]
async fn nobody_is_told_of_payments_unless_their_stream_is_named() {
    let setting = Setting::new(Engine::MySql).await;
    setting.create_payments_stream().await;
    let service = setting.service().start().await;
    let order = Published::created();
    let [_, declined, _] = payment(order.order_id());
    setting.publish(&[&declined, &order]).await;
    assert_eq!(until_told(&service, order.order_id(), 1).await, ["order.created"]);
    assert_eq!(get(&service, "/api/events/status").await["payments"], Value::Null);
}
