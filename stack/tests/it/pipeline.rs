//! The whole way of an order, with the real services as processes under their least-privilege users.

use std::path::PathBuf;

use serde_json::{Value, json};
use stack::testing::{Database, Nats, Service, binary, eventually};
use stack::{Engine, both_engines};
use tempfile::TempDir;

/// The pipeline without its gateway.
struct Pipeline {
    orders: Database,
    _notifications: Database,
    nats: Nats,
    order_svc: Service,
    relay: Service,
    notify_svc: Service,
    emails: TempDir,
}

impl Pipeline {
    async fn start(engine: Engine) -> Self {
        let orders = Database::create(engine, &schema::database::ORDERS).await;
        let notifications = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let nats = Nats::start().await;
        let emails = tempfile::tempdir().unwrap();
        let service = |name: &str, database: &Database, user: &str| {
            Service::new(binary(name)).env("DATABASE_URL", database.url(user)).env("NATS_URL", nats.url())
        };
        let notify_svc = service("notify-svc", &notifications, "notify_svc")
            .env("EMAIL_TRANSPORT", "file")
            .env("EMAIL_DIR", emails.path().to_str().unwrap())
            .env("EMAIL_FROM", "shop@example.com");
        Self {
            order_svc: service("order-svc", &orders, "order_svc").start().await,
            relay: service("outbox-relay", &orders, "outbox_relay").start().await,
            notify_svc: notify_svc.start().await,
            orders,
            _notifications: notifications,
            nats,
            emails,
        }
    }

    /// Places an order; its id.
    async fn place(&self) -> String {
        let order = json!({ "product": "Espresso machine", "quantity": 2, "email": "ada@example.com" });
        let response =
            reqwest::Client::new().post(self.order_svc.url("/api/orders")).json(&order).send().await.unwrap();
        assert_eq!(response.status(), 201);
        response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    }

    async fn notifications(&self, order: &str) -> Vec<Value> {
        let url = self.notify_svc.url(&format!("/api/notifications?order_id={order}"));
        let body: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        body["notifications"].as_array().unwrap().clone()
    }

    async fn until_notified(&self, order: &str) {
        eventually("the customer is notified", async || !self.notifications(order).await.is_empty()).await;
        assert_eq!(self.notifications(order).await.len(), 1);
    }

    /// The dedup ids of all messages in the stream.
    async fn msg_ids(&self) -> Vec<String> {
        let jetstream = async_nats::jetstream::new(async_nats::connect(self.nats.url()).await.unwrap());
        let mut stream = jetstream.get_stream(schema::names::STREAM).await.unwrap();
        let mut ids = Vec::new();
        for sequence in 1..=stream.info().await.unwrap().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            ids.push(message.headers.get(schema::names::MSG_ID_HEADER).unwrap().to_string());
        }
        ids
    }

    fn emails(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.emails.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect()
    }
}

both_engines! {
    async fn an_order_becomes_one_message_one_notification_and_one_email(engine: Engine) {
        let pipeline = Pipeline::start(engine).await;
        let order = pipeline.place().await;
        pipeline.until_notified(&order).await;
        eventually("the email is there", async || pipeline.emails().len() == 1).await;

        let event_id: String = sqlx::query_scalar("SELECT event_id FROM outbox_text")
            .fetch_one(&pipeline.orders.admin_pool().await).await.unwrap();
        assert_eq!(pipeline.msg_ids().await, [event_id]);
    }

    async fn orders_placed_while_nats_is_stopped_are_published_when_it_returns(engine: Engine) {
        let mut pipeline = Pipeline::start(engine).await;
        let before = pipeline.place().await;
        pipeline.until_notified(&before).await;
        pipeline.nats.stop().await;
        let during = pipeline.place().await;
        pipeline.nats.restart().await;
        pipeline.until_notified(&during).await;
        assert_eq!(pipeline.msg_ids().await.len(), 2);
    }

    async fn a_killed_relay_and_a_killed_notifier_lose_and_repeat_nothing(engine: Engine) {
        let mut pipeline = Pipeline::start(engine).await;
        let mut orders = Vec::new();
        for round in 0..4 {
            for _ in 0..10 {
                orders.push(pipeline.place().await);
            }
            match round % 2 {
                0 => pipeline.relay.kill().await,
                _ => pipeline.notify_svc.kill().await,
            }
            orders.push(pipeline.place().await);
            match round % 2 {
                0 => pipeline.relay.restart().await,
                _ => pipeline.notify_svc.restart().await,
            }
        }
        for order in &orders {
            pipeline.until_notified(order).await;
        }
        assert_eq!(pipeline.msg_ids().await.len(), orders.len());
    }
}
