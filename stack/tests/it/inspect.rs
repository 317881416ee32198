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
}
