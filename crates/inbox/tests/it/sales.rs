//! The service of the example, with a database of its own.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use inbox::{Handler, Inbox, Source};
use runtime::mysql::Pool;
use schema::envelope::Envelope;
use schema::event::{OrderCancelled, OrderCreated, OrderEvent, SCHEMA_VERSION};
use schema::ids::{EventId, OrderId};
use sqlx::{MySqlPool, raw_sql};
use stack::testing::{Database, Engine};

#[path = "../../examples/count_sales.rs"]
#[expect(dead_code, reason = "its main is run as a process")]
mod count_sales;

pub(crate) use count_sales::{Sales, source};

pub(crate) struct Service {
    pub(crate) database: Database,
    pub(crate) pool: Pool,
    pub(crate) admin: MySqlPool,
}

impl Service {
    /// The tables of the inbox and `sales`. The user is that of another service, with its rights.
    pub(crate) async fn start(engine: Engine) -> Self {
        let database = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let admin = database.admin_pool().await;
        let own = "CREATE TABLE sales (product VARCHAR(200) NOT NULL PRIMARY KEY, quantity BIGINT NOT NULL);
                   GRANT SELECT, INSERT, UPDATE ON sales TO 'notify_svc'@'%'";
        raw_sql(own).execute(&admin).await.unwrap();
        Self { pool: database.service_pool("notify_svc", 4), admin, database }
    }

    pub(crate) fn inbox<H: Handler>(&self, source: Source, handler: H) -> Inbox<H> {
        Inbox { pool: self.pool.clone(), source: Arc::new(source), handler }
    }

    pub(crate) async fn sold(&self) -> Vec<(String, i64)> {
        let sales = "SELECT product, quantity FROM sales ORDER BY product";
        sqlx::query_as(sales).fetch_all(&self.admin).await.unwrap()
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(&self.admin).await.unwrap()
    }
}

/// An order that is placed, as version 1.
pub(crate) fn created(order_id: OrderId, product: &str, quantity: u32) -> (Envelope, Bytes) {
    event(
        1,
        &OrderEvent::Created(OrderCreated {
            schema_version: SCHEMA_VERSION,
            order_id,
            product: product.to_owned(),
            quantity,
            placed_at: Utc::now(),
        }),
    )
}

/// Its cancellation, as version 2.
pub(crate) fn cancelled(order_id: OrderId, product: &str, quantity: u32) -> (Envelope, Bytes) {
    event(
        2,
        &OrderEvent::Cancelled(OrderCancelled {
            schema_version: SCHEMA_VERSION,
            order_id,
            product: product.to_owned(),
            quantity,
            cancelled_at: Utc::now(),
            cause: None,
        }),
    )
}

fn event(version: u32, event: &OrderEvent) -> (Envelope, Bytes) {
    let envelope = Envelope {
        event_id: EventId::generate(),
        source: "/web-store/orders".to_owned(),
        event_type: event.event_type().to_string(),
        aggregate_type: "order".to_owned(),
        aggregate_id: event.order_id().into(),
        aggregate_version: NonZeroU32::new(version),
        occurred_at: Utc::now(),
    };
    (envelope, event.payload().unwrap().into())
}
