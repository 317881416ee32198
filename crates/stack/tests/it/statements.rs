//! The statements that the programs were compiled with, each prepared as the users that may come to run it. A server refuses
//! whoever lacks a right for one before it runs, so this finds a missing right also on a way that no test goes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use schema::database::{Definition, NOTIFICATIONS, ORDERS, PAYMENTS};
use sqlx::{AssertSqlSafe, Executor, MySqlPool, SqlSafeStr};
use stack::Engine;
use stack::home::Home;
use stack::testing::Database;

/// Each service's user, and where the statements are that it may come to run.
static SERVICES: [(&Definition, &str, &[&str]); 5] = [
    (&ORDERS, "order_svc", &["order-svc", "crates/outbox", "crates/inbox"]),
    (&ORDERS, "outbox_relay", &["outbox-relay"]),
    (&NOTIFICATIONS, "notify_svc", &["notify-svc", "crates/inbox", "crates/effect"]),
    (&PAYMENTS, "payment_svc", &["payment-svc", "crates/outbox", "crates/inbox", "crates/effect"]),
    (&PAYMENTS, "payment_relay", &["outbox-relay"]),
];

/// A part of each statement that only verbs run.
const OF_PEOPLE: [&str; 14] = [
    "INSERT INTO inbox_action ",
    "INSERT INTO inbox_skipped ",
    "SET resolution = ?, resolved_at = UTC_TIMESTAMP(6), note = ?",
    "INSERT INTO customer_action ",
    "SET o.email = NULL",
    "INSERT INTO outbox_action ",
    "INSERT INTO outbox_discarded ",
    "INSERT INTO outbox_pause ",
    "DELETE FROM outbox_pause ",
    "outbox.discarded_at = UTC_TIMESTAMP(6)",
    "INSERT INTO effect_action ",
    "FROM effect_action ",
    "INSERT INTO payment_action ",
    "DELETE FROM suppression WHERE",
];

/// With one space for any white space.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn statements(root: &Path) -> Vec<String> {
    let files = fs::read_dir(root.join(".sqlx")).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let queries = files.map(|file| serde_json::from_slice::<serde_json::Value>(&file).unwrap());
    queries.map(|query| query["query"].as_str().unwrap().to_owned()).collect()
}

/// The sources below a folder, in one.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(path).unwrap() });
    plain(&texts.collect::<Vec<_>>().join("\n"))
}

/// The sources that have each statement: whole, or if a macro puts it together in none, its beginning.
fn of_each<'a>(statements: &'a [String], sources: &[(&'a str, String)]) -> Vec<(&'a str, BTreeSet<&'a str>)> {
    let that_have = |text: &str| -> BTreeSet<&str> {
        sources.iter().filter(|(_, source)| source.contains(text)).map(|(room, _)| *room).collect()
    };
    let rooms = |statement: &String| {
        let whole = that_have(&plain(statement));
        if whole.is_empty() { that_have(&plain(statement).chars().take(40).collect::<String>()) } else { whole }
    };
    statements.iter().map(|statement| (statement.as_str(), rooms(statement))).collect()
}

/// What the server refuses: nothing, a right, or the statement, as that of another database.
async fn prepare(pool: &MySqlPool, statement: &str) -> Result<(), u16> {
    let prepared = pool.prepare(AssertSqlSafe(statement.to_owned()).into_sql_str()).await;
    let number = |error: &sqlx::Error| {
        let error = error.as_database_error().unwrap_or_else(|| panic!("{statement}: {error}"));
        error.downcast_ref::<sqlx::mysql::MySqlDatabaseError>().number()
    };
    prepared.map(drop).map_err(|error| number(&error))
}

/// On MySQL: MariaDB asks for no right to lock what a SELECT reads.
#[tokio::test]
async fn each_service_may_run_all_its_statements_but_those_that_only_a_verb_runs() {
    const DENIED: [u16; 2] = [1142, 1143]; // for a table, for a column
    let root = Home::find().unwrap().root().to_owned();
    let rooms: BTreeSet<&str> = SERVICES.into_iter().flat_map(|(.., rooms)| rooms).copied().collect();
    let sources: Vec<_> = rooms.into_iter().map(|room| (room, sources(&root.join(room).join("src")))).collect();
    let statements = statements(&root);
    let statements = of_each(&statements, &sources);
    let mut seen = BTreeSet::new();
    for (definition, user, rooms) in SERVICES {
        let database = Database::create(Engine::MySql, definition).await;
        let (admin, pool) = (database.admin_pool().await, database.pool(user).await);
        let own = statements.iter().filter(|(_, of)| rooms.iter().any(|room| of.contains(room)));
        let mut may = 0;
        for (statement, _) in own {
            if prepare(&admin, statement).await.is_err() {
                continue; // another database's tables
            }
            let part = OF_PEOPLE.into_iter().find(|part| plain(statement).contains(part));
            match (part, prepare(&pool, statement).await) {
                (None, Ok(())) => may += 1,
                (Some(part), Err(number)) if DENIED.contains(&number) => drop(seen.insert(part)),
                (_, prepared) => panic!("{user}: {statement}: {prepared:?}"),
            }
        }
        assert!(may > 20, "{user} may run {may}");
    }
    assert_eq!(seen, OF_PEOPLE.into());
}
