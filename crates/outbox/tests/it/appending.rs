//! What is appended, once, with what it is about.

use std::cell::Cell;
use std::num::NonZeroU32;

use chrono::Utc;
use outbox::{NewEvent, Outbox, OutboxConfig, TransactionError};
use prometheus::Registry;
use runtime::mysql::{Pool, Receipt};
use schema::aggregate::AggregateId;
use schema::ids::EventId;
use sqlx::MySqlPool;
use stack::both_engines;
use stack::testing::{Database, Engine};
use uuid::Uuid;

/// A service with a database of its own.
struct Service {
    _database: Database,
    pool: Pool,
    admin: MySqlPool,
    outbox: Outbox,
}

impl Service {
    async fn start(engine: Engine, event_bytes_max: &str) -> Self {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let settings = OutboxConfig { event_bytes_max: event_bytes_max.parse().unwrap() };
        let outbox = Outbox::new(&settings, &["customer.registered"], &Registry::new()).unwrap();
        let (pool, admin) = (database.service_pool("order_svc", 4), database.admin_pool().await);
        Self { _database: database, pool, admin, outbox }
    }

    async fn appended(&self) -> Vec<EventId> {
        sqlx::query_scalar("SELECT event_id FROM outbox ORDER BY seq").fetch_all(&self.admin).await.unwrap()
    }
}

fn event(aggregate_id: impl Into<AggregateId>, version: u32) -> NewEvent {
    NewEvent {
        id: EventId::generate(),
        aggregate_type: "customer".into(),
        aggregate_id: aggregate_id.into(),
        aggregate_version: NonZeroU32::new(version).unwrap(),
        event_type: "customer.registered".into(),
        payload: r#"{"email":"ada@example.com"}"#.to_owned(),
        occurred_at: Utc::now(),
        data_schema: Some("https://shop.example/events/customer.registered/1".into()),
        traceparent: None,
    }
}

both_engines! {
    async fn an_event_commits_with_sqlx_s_own_transaction_and_goes_with_it(engine: Engine) {
        let service = Service::start(engine, "1048576").await;
        let [kept, gone] = [event(Uuid::now_v7(), 1), event(Uuid::now_v7(), 1)];
        let mut tx = service.admin.begin().await.unwrap();
        service.outbox.append(&mut tx, &kept).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = service.admin.begin().await.unwrap();
        service.outbox.append(&mut tx, &gone).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(service.appended().await, [kept.id]);
    }

    async fn a_transaction_whose_answer_was_lost_is_found_done_by_its_event(engine: Engine) {
        let service = Service::start(engine, "1048576").await;
        let event = event(Uuid::now_v7(), 1);
        let attempts = Cell::new(0);
        let attempt = || async {
            attempts.set(attempts.get() + 1);
            let mut tx = service.pool.begin().await?;
            let receipt = service.outbox.append(&mut tx, &event).await?;
            if receipt == Receipt::Duplicate {
                tx.rollback().await?;
                return Ok(receipt);
            }
            tx.commit().await.map_err(TransactionError::AtCommit)?;
            Err(TransactionError::AtCommit(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())))
        };
        assert_eq!(service.outbox.transact(attempt).await.unwrap(), Receipt::Duplicate);
        assert_eq!(attempts.get(), 2);
        assert_eq!(service.appended().await, [event.id]);
    }

    async fn a_version_that_another_event_has_is_no_repeat(engine: Engine) {
        let service = Service::start(engine, "1048576").await;
        let first = event(Uuid::now_v7(), 1);
        let second = event(first.aggregate_id, 1);
        let mut tx = service.pool.begin().await.unwrap();
        service.outbox.append(&mut tx, &first).await.unwrap();
        let refused = service.outbox.append(&mut tx, &second).await.unwrap_err();
        assert!(matches!(refused, TransactionError::VersionTaken), "{refused:?}");
        tx.commit().await.unwrap();
        assert_eq!(service.appended().await, [first.id]);
    }

    async fn several_events_are_appended_in_their_order(engine: Engine) {
        let service = Service::start(engine, "1048576").await;
        let aggregate = Uuid::now_v7();
        let events: Vec<_> = (1..=50).map(|version| event(aggregate, version)).collect();
        let mut tx = service.pool.begin().await.unwrap();
        service.outbox.append_all(&mut tx, &events.iter().collect::<Vec<_>>()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(service.appended().await, events.iter().map(|event| event.id).collect::<Vec<_>>());
    }

    async fn an_event_that_the_broker_would_refuse_is_not_appended(engine: Engine) {
        let service = Service::start(engine, "1150").await;
        let small = event(Uuid::now_v7(), 1);
        let large = NewEvent { payload: format!(r#"{{"email":"{}"}}"#, "x".repeat(100)), ..event(Uuid::now_v7(), 1) };
        let mut tx = service.pool.begin().await.unwrap();
        service.outbox.append(&mut tx, &small).await.unwrap();
        let refused = service.outbox.append(&mut tx, &large).await.unwrap_err();
        assert!(matches!(refused, TransactionError::EventTooLarge { .. }), "{refused:?}");
        tx.commit().await.unwrap();
        assert_eq!(service.appended().await, [small.id]);
    }
}
