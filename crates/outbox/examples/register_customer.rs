//! Registers a customer, and appends the event about it in the same transaction.
use std::num::NonZeroU32;

use chrono::Utc;
use clap::Parser;
use outbox::{NewEvent, Outbox, OutboxConfig, TransactionError};
use runtime::mysql::{self, DatabaseConfig, Pool, Receipt};
use schema::ids::EventId;
use sqlx::query;
use uuid::Uuid;

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    outbox: OutboxConfig,
    email: String,
}

async fn register(pool: &Pool, outbox: &Outbox, email: &str) -> Result<Uuid, TransactionError> {
    // Made once: an attempt after a lost answer to COMMIT finds the event, and is done.
    let id = Uuid::now_v7();
    let event = NewEvent {
        id: EventId::generate(),
        aggregate_type: "customer".into(),
        aggregate_id: id.into(),
        aggregate_version: NonZeroU32::MIN,
        event_type: "customer.registered".into(),
        payload: serde_json::json!({ "email": email }).to_string(),
        occurred_at: Utc::now(),
        data_schema: Some("https://shop.example/events/customer.registered/1".into()),
        traceparent: None,
    };
    let attempt = || async {
        let mut tx = pool.begin().await?;
        if outbox.append(&mut tx, &event).await? == Receipt::Duplicate {
            return Ok(tx.rollback().await?);
        }
        query("INSERT INTO customers (id, email) VALUES (?, ?)").bind(id).bind(email).execute(&mut tx).await?;
        tx.commit().await.map_err(TransactionError::AtCommit)
    };
    outbox.transact(attempt).await?;
    outbox.committed(&event);
    Ok(id)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let pool = mysql::pool(&settings.database)?;
    let outbox = Outbox::new(&settings.outbox, &["customer.registered"], prometheus::default_registry())?;
    println!("{}", register(&pool, &outbox, &settings.email).await?);
    Ok(())
}
