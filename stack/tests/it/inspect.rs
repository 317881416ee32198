//! `schema/inspect/*.sql` runs, under the inspector's own user and on both engines.

use std::path::{Path, PathBuf};

use schema::database::{Definition, NOTIFICATIONS, ORDERS};
use sqlx::{AssertSqlSafe, Executor};
use stack::testing::Database;
use stack::{Engine, both_engines};

fn queries(database: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/inspect").join(database);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "sql")).collect()
}

async fn inspect(engine: Engine, definition: &Definition, inspector: &str) {
    let database = Database::create(engine, definition).await;
    let pool = database.pool(inspector).await;
    let queries = queries(definition.name);
    assert!(!queries.is_empty());
    for path in queries {
        let sql = std::fs::read_to_string(&path).unwrap();
        assert!(sql.starts_with("-- ") && sql.contains("\n-- Healthy: "), "{} says no question", path.display());
        pool.fetch_all(AssertSqlSafe(sql)).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

both_engines! {
    async fn operators_queries_run_with_no_more_than_read_rights(engine: Engine) {
        inspect(engine, &ORDERS, "orders_inspector").await;
        inspect(engine, &NOTIFICATIONS, "notifications_inspector").await;
    }

    async fn each_service_is_refused_what_it_does_not_need(engine: Engine) {
        let orders = Database::create(engine, &ORDERS).await;
        let notifications = Database::create(engine, &NOTIFICATIONS).await;
        let refused = [
            (&orders, "order_svc", "UPDATE outbox SET state = 'published'"),
            (&orders, "order_svc", "DELETE FROM orders"),
            (&orders, "order_svc", "UPDATE relay_lease SET epoch = 0"),
            (&orders, "outbox_relay", "SELECT * FROM orders"),
            (&orders, "outbox_relay", "INSERT INTO outbox (subject) VALUES ('x')"),
            (&orders, "orders_inspector", "DELETE FROM outbox"),
            (&notifications, "notify_svc", "UPDATE inbox SET event_type = 'x'"),
            (&notifications, "notify_svc", "DELETE FROM notifications"),
            (&notifications, "notifications_inspector", "DELETE FROM inbox"),
        ];
        for (database, user, statement) in refused {
            let error = database.pool(user).await.execute(statement).await.unwrap_err();
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(code, "42000", "{user}: {statement}: {error}");
        }
    }
}
