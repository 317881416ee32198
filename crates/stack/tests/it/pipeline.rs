//! The whole way of an order, with the real services as processes under their least-privilege users.

use async_nats::jetstream;
use stack::testing::{Database, Nats, eventually};
use stack::{Engine, both_engines};

use crate::services::Services;

/// The pipeline without its gateway.
pub(crate) struct Pipeline {
    pub(crate) orders: Database,
    pub(crate) notifications: Database,
    pub(crate) nats: Nats,
    pub(crate) services: Services,
}

impl Pipeline {
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::start_on(engine, Nats::start_with_accounts().await).await
    }

    /// With further settings.
    pub(crate) async fn start_with(engine: Engine, set: impl FnOnce(Services) -> Services) -> Self {
        Self::start_set(engine, Nats::start_with_accounts().await, set).await
    }

    pub(crate) async fn start_on(engine: Engine, nats: Nats) -> Self {
        Self::start_set(engine, nats, |services| services).await
    }

    async fn start_set(engine: Engine, nats: Nats, set: impl FnOnce(Services) -> Services) -> Self {
        let orders = Database::create(engine, &schema::database::ORDERS).await;
        let notifications = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url());
        Self { services: set(services).start().await, orders, notifications, nats }
    }

    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(Nats::admin(&self.nats.url()).await)
    }

    /// The dedup ids of all messages in the stream.
    pub(crate) async fn msg_ids(&self) -> Vec<String> {
        let mut stream = self.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
        let mut ids = Vec::new();
        for sequence in 1..=stream.info().await.unwrap().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            ids.push(message.headers.get(schema::names::MSG_ID_HEADER).unwrap().to_string());
        }
        ids
    }
}

both_engines! {
    async fn an_order_becomes_one_message_one_notification_and_one_email(engine: Engine) {
        let pipeline = Pipeline::start(engine).await;
        let order = pipeline.services.place().await;
        pipeline.services.until_notified(&order).await;
        eventually("the email is there", async || pipeline.services.emails().len() == 1).await;

        let event_id: String = sqlx::query_scalar("SELECT event_id FROM outbox_text")
            .fetch_one(&pipeline.orders.admin_pool().await).await.unwrap();
        assert_eq!(pipeline.msg_ids().await, [event_id]);
    }

    async fn orders_placed_while_nats_is_stopped_are_published_when_it_returns(engine: Engine) {
        let mut pipeline = Pipeline::start(engine).await;
        let before = pipeline.services.place().await;
        pipeline.services.until_notified(&before).await;
        pipeline.nats.stop().await;
        let during = pipeline.services.place().await;
        pipeline.nats.restart().await;
        pipeline.services.until_notified(&during).await;
        assert_eq!(pipeline.msg_ids().await.len(), 2);
    }

    async fn a_killed_relay_and_a_killed_notifier_lose_and_repeat_nothing(engine: Engine) {
        let mut pipeline = Pipeline::start(engine).await;
        let mut orders = Vec::new();
        for round in 0..4 {
            for _ in 0..10 {
                orders.push(pipeline.services.place().await);
            }
            match round % 2 {
                0 => pipeline.services.relay.kill().await,
                _ => pipeline.services.notify_svc.kill().await,
            }
            orders.push(pipeline.services.place().await);
            match round % 2 {
                0 => pipeline.services.relay.restart().await,
                _ => pipeline.services.notify_svc.restart().await,
            }
        }
        for order in &orders {
            pipeline.services.until_notified(order).await;
        }
        assert_eq!(pipeline.msg_ids().await.len(), orders.len());
    }
}
