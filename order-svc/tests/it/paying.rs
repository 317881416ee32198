//! What the payment events do to orders, by the real program and the real broker.

use std::num::NonZeroU32;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context, stream};
use chrono::Utc;
use schema::envelope::Envelope;
use schema::event::SCHEMA_VERSION;
use schema::ids::{EventId, OrderId, PaymentId};
use schema::names;
use schema::payment::{PaymentAuthorized, PaymentDeclined, PaymentEvent, PaymentRefunded};
use serde_json::{Value, json};
use sqlx::MySqlPool;
use stack::both_engines;
use stack::testing::{Database, Engine, Nats, Service, eventually};

use crate::api::{Answer, NO_NATS, USER, good_order};

const PROGRAM: &str = env!("CARGO_BIN_EXE_order-svc");

struct Setting {
    database: Database,
    pool: MySqlPool,
    nats: Nats,
    jetstream: Context,
}

impl Setting {
    async fn new(engine: Engine) -> Self {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let nats = Nats::start().await;
        let jetstream = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
        Self { pool: database.admin_pool().await, database, nats, jetstream }
    }

    async fn create_stream(&self) {
        let subjects = names::PAYMENTS_STREAM_SUBJECTS.iter().map(|subject| (*subject).to_owned()).collect();
        let name = names::PAYMENTS_STREAM.to_owned();
        self.jetstream.create_stream(stream::Config { name, subjects, ..stream::Config::default() }).await.unwrap();
    }

    fn service(&self) -> Service {
        let service = Service::new(PROGRAM).env("DATABASE_URL", self.database.url(USER));
        service.env("NATS_URL", self.nats.url()).env("PAYMENTS_STREAM", names::PAYMENTS_STREAM)
    }

    async fn publish(&self, (envelope, payload): &(Envelope, String)) {
        let mut headers = HeaderMap::new();
        envelope.headers().into_iter().for_each(|(name, value)| headers.insert(name, value));
        let subject = envelope.event_type.clone();
        self.jetstream.publish_with_headers(subject, headers, payload.clone().into()).await.unwrap().await.unwrap();
    }

    /// The events of an order: version, type and cause.
    async fn appended(&self, order: OrderId) -> Vec<(u32, String, Value)> {
        let rows: Vec<(u32, String, String)> = sqlx::query_as(
            "SELECT aggregate_version, event_type, CAST(payload AS CHAR) FROM outbox WHERE aggregate_id = ? ORDER BY seq",
        )
        .bind(order.to_string())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let cause = |payload: &str| serde_json::from_str::<Value>(payload).unwrap()["cause"].clone();
        rows.into_iter().map(|(version, kind, payload)| (version, kind, cause(&payload))).collect()
    }
}

async fn place(service: &Service) -> OrderId {
    let answer = Answer::to(reqwest::Client::new().post(service.url("/api/orders")).json(&good_order())).await;
    assert_eq!((answer.status, &answer.body["payment"]), (201, &json!("due")), "{}", answer.text);
    answer.body["id"].as_str().unwrap().parse().unwrap()
}

async fn show(service: &Service, order: OrderId) -> Value {
    Answer::to(reqwest::Client::new().get(service.url(&format!("/api/orders/{order}")))).await.body
}

async fn until(service: &Service, order: OrderId, status: &str, payment: &str) {
    eventually(&format!("the order is {status} and {payment}"), async || {
        let order = show(service, order).await;
        order["status"] == status && order["payment"] == payment
    })
    .await;
}

/// An event of the order's payment.
fn event(version: u32, event: &PaymentEvent) -> (Envelope, String) {
    let envelope = Envelope {
        event_id: EventId::generate(),
        source: names::PAYMENTS_SOURCE.to_owned(),
        event_type: event.event_type().to_string(),
        aggregate_type: names::PAYMENT.to_owned(),
        aggregate_id: event.payment_id().into(),
        aggregate_version: NonZeroU32::new(version),
        occurred_at: Utc::now(),
    };
    (envelope, event.payload().unwrap())
}

fn authorized(payment_id: PaymentId, order_id: OrderId) -> (Envelope, String) {
    let (amount_minor, currency) = (2000, "EUR".to_owned());
    let (schema_version, authorized_at) = (SCHEMA_VERSION, Utc::now());
    let paid = PaymentAuthorized { schema_version, payment_id, order_id, amount_minor, currency, authorized_at };
    event(1, &PaymentEvent::Authorized(paid))
}

fn declined(order_id: OrderId) -> (Envelope, String) {
    event(
        1,
        &PaymentEvent::Declined(PaymentDeclined {
            schema_version: SCHEMA_VERSION,
            payment_id: PaymentId::generate(),
            order_id,
            amount_minor: 2000,
            currency: "EUR".to_owned(),
            reason: "card_declined".to_owned(),
            declined_at: Utc::now(),
        }),
    )
}

fn refunded(payment_id: PaymentId, order_id: OrderId) -> (Envelope, String) {
    let (amount_minor, currency) = (2000, "EUR".to_owned());
    let (schema_version, refunded_at) = (SCHEMA_VERSION, Utc::now());
    let back = PaymentRefunded { schema_version, payment_id, order_id, amount_minor, currency, refunded_at };
    event(2, &PaymentEvent::Refunded(back))
}

both_engines! {
    async fn an_order_shows_how_its_payment_stands(engine: Engine) {
        let setting = Setting::new(engine).await;
        setting.create_stream().await;
        let service = setting.service().start().await;
        let (order, payment) = (place(&service).await, PaymentId::generate());
        let (first, second) = (authorized(payment, order), refunded(payment, order));
        // Out of order, and each twice.
        setting.publish(&second).await;
        setting.publish(&first).await;
        until(&service, order, "placed", "refunded").await;
        setting.publish(&first).await;
        setting.publish(&second).await;
        let other = place(&service).await;
        setting.publish(&authorized(PaymentId::generate(), other)).await;
        until(&service, other, "placed", "authorized").await;
        assert_eq!(show(&service, order).await["payment"], "refunded");
        assert_eq!(setting.appended(order).await.len(), 1, "a payment is no event of the order");
        let etag = Answer::to(reqwest::Client::new().get(service.url(&format!("/api/orders/{other}")))).await;
        assert_eq!(etag.header("etag"), "\"1-placed-authorized\"");
        let cancel = reqwest::Client::new().post(service.url(&format!("/api/orders/{other}/cancel")));
        let cancelled = Answer::to(cancel.header("if-match", "\"1-placed\"")).await;
        assert_eq!(cancelled.status, 200, "a payment made meanwhile keeps nobody from cancelling: {}", cancelled.text);
    }

    async fn a_declined_payment_cancels_the_order_once(engine: Engine) {
        let setting = Setting::new(engine).await;
        setting.create_stream().await;
        let mut service = setting.service().start().await;
        let (order, by_customer) = (place(&service).await, place(&service).await);
        let cancel = reqwest::Client::new().post(service.url(&format!("/api/orders/{by_customer}/cancel")));
        assert_eq!(Answer::to(cancel).await.status, 200);
        let [one, two, stray] = [declined(order), declined(by_customer), declined(OrderId::generate())];
        for event in [&stray, &one, &two, &one] {
            setting.publish(event).await;
        }
        until(&service, order, "cancelled", "declined").await;
        until(&service, by_customer, "cancelled", "declined").await;
        service.kill().await;
        service.restart().await;
        setting.publish(&one).await;
        let last = place(&service).await;
        setting.publish(&declined(last)).await;
        until(&service, last, "cancelled", "declined").await;
        let created = (1, "order.created".to_owned(), Value::Null);
        let cancelled = |cause| (2, "order.cancelled".to_owned(), cause);
        assert_eq!(setting.appended(order).await, [created.clone(), cancelled(json!("payment_declined"))]);
        assert_eq!(setting.appended(by_customer).await, [created, cancelled(Value::Null)]);
        let dead: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox_dead").fetch_one(&setting.pool).await.unwrap();
        assert_eq!(dead, 0);
        // Since the restart, and after the COMMIT that shows.
        eventually("the one cancellation is counted", async || {
            let metrics = Answer::to(reqwest::Client::new().get(service.admin_url("/metrics"))).await.text;
            metrics.contains("outbox_events_appended_total{event_type=\"order.cancelled\"} 1\n")
        })
        .await;
    }

    async fn an_order_is_placed_whether_or_not_anybody_tells_of_payments(engine: Engine) {
        let setting = Setting::new(engine).await;
        let away = setting.service().env("NATS_URL", NO_NATS).start().await;
        place(&away).await;
        drop(away);
        let service = setting.service().start().await;
        let order = place(&service).await;
        let ready = Answer::to(reqwest::Client::new().get(service.admin_url("/readyz"))).await;
        assert_eq!(ready.status, 200, "{}", ready.text);
        // The relay of the payments makes the stream when it first runs.
        setting.create_stream().await;
        setting.publish(&declined(order)).await;
        until(&service, order, "cancelled", "declined").await;
    }
}
