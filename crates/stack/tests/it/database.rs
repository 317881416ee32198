use schema::database::{NOTIFICATIONS, ORDERS, PAYMENTS};
use stack::both_engines;
use stack::testing::{Database, Engine, eventually};

both_engines! {
    async fn a_fresh_database_is_migrated_and_opens_to_each_of_its_users(engine: Engine) {
        for definition in [&ORDERS, &NOTIFICATIONS, &PAYMENTS] {
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

    async fn a_database_of_an_earlier_checkout_is_refused_with_what_to_do(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        // One that is refused keeps the migrations' lock until its connection ends: another one would wait for it.
        let mut connection = database.admin_pool().await.acquire().await.unwrap();
        // Migrations that were squashed: some have a number that is used again, some one that is not.
        for earlier in ["UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 1", "UPDATE _sqlx_migrations SET version = 19 WHERE version = 1"] {
            sqlx::query(earlier).execute(&mut *connection).await.unwrap();
            let refused = ORDERS.migrate(&mut connection).await.unwrap_err().to_string();
            assert!(refused.contains("another version") && refused.contains("`make reset`"), "{refused}");
        }
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
