use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schema::database::{NOTIFICATIONS, ORDERS};
use stack::both_engines;
use stack::testing::{Database, Engine, eventually};
use tokio::sync::oneshot;

both_engines! {
    async fn a_fresh_database_is_migrated_and_opens_to_each_of_its_users(engine: Engine) {
        for definition in [&ORDERS, &NOTIFICATIONS] {
            let database = Database::create(engine, definition).await;
            for user in definition.users {
                let name: String = sqlx::query_scalar("SELECT DATABASE()").fetch_one(&database.pool(user).await).await.unwrap();
                assert_eq!(name, database.name());
            }
        }
    }

    async fn a_user_has_the_grants_of_production_and_no_more(engine: Engine) {
        let orders = Database::create(engine, &ORDERS).await;
        let relay = orders.pool("outbox_relay").await;
        sqlx::query("SELECT * FROM outbox").fetch_all(&relay).await.unwrap();
        let denied = sqlx::query("SELECT * FROM orders").fetch_all(&relay).await.unwrap_err();
        assert!(denied.to_string().contains("denied"), "{denied}");
    }

    async fn orders_go_on_while_the_outbox_gets_room_for_its_settles(engine: Engine) {
        let orders = Database::create(engine, &ORDERS).await;
        let admin = orders.admin_pool().await;
        for statement in [
            "ALTER TABLE outbox MODIFY published_at DATETIME(6) NULL, MODIFY stream_seq BIGINT UNSIGNED NULL",
            "DELETE FROM _sqlx_migrations WHERE version = 11",
        ] {
            sqlx::query(statement).execute(&admin).await.unwrap();
        }
        let writer = orders.pool("order_svc").await;
        let stop = Arc::new(AtomicBool::new(false));
        let (started, has_started) = oneshot::channel();
        let writing = tokio::spawn(append_until(writer, Arc::clone(&stop), started));
        has_started.await.unwrap();
        let mut connection = admin.acquire().await.unwrap();
        ORDERS.migrator.run(&mut *connection).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        let appended = writing.await.unwrap();
        let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE stream_seq = 0 AND published_at = '1970-01-01'")
            .fetch_one(&admin).await.unwrap();
        assert_eq!(rows, appended);
    }

    async fn a_dropped_database_is_gone(engine: Engine) {
        let (gone, stays) = (Database::create(engine, &ORDERS).await, Database::create(engine, &ORDERS).await);
        let name = gone.name().to_owned();
        let admin = stays.admin_pool().await;
        drop(gone);
        eventually("the database is gone", async || {
            let found = sqlx::query("SELECT 1 FROM information_schema.schemata WHERE schema_name = ?").bind(&name);
            found.fetch_optional(&admin).await.unwrap().is_none()
        })
        .await;
    }
}

/// Appends events as a writer that knows nothing of a migration, and says when it has begun; how many.
async fn append_until(pool: sqlx::MySqlPool, stop: Arc<AtomicBool>, started: oneshot::Sender<()>) -> i64 {
    let (mut appended, mut started) = (0, Some(started));
    while !stop.load(Ordering::Relaxed) {
        sqlx::query(
            "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
             VALUES ('order', UNHEX(REPLACE(UUID(), '-', '')), 1, 'order.created', 'order.created', '{}')",
        )
        .execute(&pool)
        .await
        .unwrap();
        appended += 1;
        if appended == 100 {
            started.take().into_iter().for_each(|started| started.send(()).unwrap());
        }
    }
    appended
}
