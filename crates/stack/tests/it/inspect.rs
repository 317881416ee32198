//! `schema/inspect/*.sql` runs, under the inspector's own user and on both engines, and reads no more than its window.

use std::path::{Path, PathBuf};

use schema::database::{Definition, NOTIFICATIONS, ORDERS, PAYMENTS};
use sqlx::{AssertSqlSafe, Executor, MySqlPool, Row};
use stack::testing::Database;
use stack::{Engine, both_engines};

/// The queries of a database that read a large table, and how many of its rows each reads at most.
const WINDOWS: [(&str, &[(&str, u64)]); 3] = [
    (
        "orders",
        &[
            ("backlog", 10_000),
            ("customers", 100),
            ("dead", 100),
            ("dead_reasons", 10_000),
            ("healed", 10_000),
            ("held", 10_000),
            ("order_story", 100),
            ("slowest", 10_000),
            ("throughput", 20_000),
            ("unproven", 10_000),
        ],
    ),
    (
        "notifications",
        &[("dead_messages", 100), ("emails", 50_000), ("gaps", 100), ("order_effects", 20), ("suppressed", 100)],
    ),
    ("payments", &[("effects", 30_000), ("order_payment", 20), ("stuck", 100)]),
];

/// Rows of tables that stay small, in each of which there are none here, and of a result.
const FEW: u64 = 200;

fn queries(database: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/inspect").join(database);
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

/// Rows that this one session has read so far, by index, by position or by going through a table.
async fn rows_read(pool: &MySqlPool) -> u64 {
    let status: Vec<(String, String)> =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Handler_read%'").fetch_all(pool).await.unwrap();
    status.iter().map(|(_, number)| number.parse::<u64>().unwrap()).sum()
}

/// Rows that a query reads, and how many it gives.
async fn cost(pool: &MySqlPool, sql: &str) -> (u64, usize) {
    let first = rows_read(pool).await;
    let second = rows_read(pool).await;
    let rows = pool.fetch_all(AssertSqlSafe(sql)).await.unwrap().len();
    // Looking reads a table, too: as much as between the two looks before.
    (rows_read(pool).await - second - (second - first), rows)
}

const NUMBERS: &str = "WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 315), n (i) AS
                         (SELECT a.i * 317 + b.i FROM a JOIN (SELECT i FROM a UNION ALL SELECT 316) b)";

async fn insert(admin: &MySqlPool, into: &str, select: &str) {
    let sql = format!("INSERT INTO {into} {NUMBERS} SELECT {select} FROM n WHERE i < 100000");
    let inserted = sqlx::query(AssertSqlSafe(sql)).execute(admin).await.unwrap().rows_affected();
    assert_eq!(inserted, 100_000);
}

/// More events in each state than any query looks at, and an order.
async fn fill_orders(admin: &MySqlPool) {
    let select =
        "UNHEX(LPAD(HEX(i + 1), 32, '0')), 'order', INSERT(INSERT(INSERT(INSERT(LPAD(LOWER(HEX(i DIV 3)), 32, '0'), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-'), i % 3 + 1, 'order.created',
                  'order.created', '{}', ELT(i % 10 + 1, 'published', 'published', 'published', 'pending', 'pending',
                  'pending', 'dead', 'dead', 'held', 'held'), 'the broker refuses it', UTC_TIMESTAMP(6),
                  i + 1, i % 100 = 0";
    let into = "outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, state,
                        last_error, published_at, stream_seq, heal_epoch)";
    insert(admin, into, select).await;
    let order = "INSERT INTO orders (id, product, quantity, email, status, version, created_at, updated_at)
                 VALUES (UNHEX(LPAD(HEX(5000), 32, '0')), 'Mug', 1, 'ada@example.com', 'placed', 3, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))";
    sqlx::query(order).execute(admin).await.unwrap();
    let into = "customer_action (actor, action, customer, orders, reason)";
    insert(admin, into, "'eve', 'erase', 'ada', 1, 'a test'").await;
}

/// Every message had its effect, and was dead once; of each order a later event is parked.
async fn fill_notifications(admin: &MySqlPool) {
    let event = "UNHEX(LPAD(HEX(i + 1), 32, '0'))";
    let into =
        "inbox (consumer, event_id, event_type, aggregate_type, aggregate_id, payload_sha256, stream_seq, received_at)";
    let at = "UTC_TIMESTAMP(6) - INTERVAL (100000 - i) SECOND";
    insert(admin, into, &format!("'notify-svc', {event}, 'order.created', 'order', i, REPEAT('h', 32), i, {at}")).await;
    let into =
        "inbox_parked (consumer, event_id, event_type, aggregate_type, aggregate_id, aggregate_version, payload_sha256,
                              stream_seq, stored_at, subject, headers, payload, parked_at)";
    let kind = "'order.cancelled'";
    let place = format!("'notify-svc', {event}, {kind}, 'order', i, 2, REPEAT('h', 32), i, {at}");
    insert(admin, into, &format!("{place}, {kind}, '[]', '{{}}', {at}")).await;
    let into = "inbox_dead (consumer, stream_seq, stored_at, subject, headers, payload, reason, resolution)";
    let resolution = "IF(i % 3 = 0, NULL, 'requeued')";
    insert(admin, into, &format!("'notify-svc', i, {at}, 'order.created', '[]', '{{}}', 'no JSON', {resolution}"))
        .await;
    let into = "notifications (id, event_id, event_type, order_id, product, quantity)";
    insert(admin, into, &format!("{event}, {event}, 'order.created', {event}, 'tea', 1")).await;
    let into = "suppression (address, cause, added_by, reason)";
    insert(admin, into, "CONCAT(i, '@example.com'), 'bounce', 'notify-svc', 'no such user'").await;
    let into = "suppression_action (actor, action, address, cause, reason)";
    insert(admin, into, "'notify-svc', 'add', CONCAT(i, '@example.com'), 'bounce', 'no such user'").await;
    let state = "ELT(i % 5 + 1, 'pending', 'done', 'dead', 'discarded', 'withdrawn')";
    let into = "effect (id, queue, subject, kind, body, state)";
    insert(admin, into, &format!("{event}, 'emails', i, 'order.created', '{{}}', {state}")).await;
}

/// Each payment with a charge in one of the states.
async fn fill_payments(admin: &MySqlPool) {
    let id = "UNHEX(LPAD(HEX(i + 1), 32, '0'))";
    let state = "ELT(i % 3 + 1, 'pending', 'done', 'dead')";
    insert(
        admin,
        "effect (id, queue, subject, kind, body, state)",
        &format!("{id}, 'provider', i, 'charge', '{{}}', {state}"),
    )
    .await;
    let into = "payments (id, order_id, amount_minor, currency, state, charge_id)";
    insert(admin, into, &format!("{id}, {id}, 1000, 'EUR', 'due', {id}")).await;
}

/// Compares what each query reads of a filled database with its window.
async fn measure(database: &Database, name: &str, inspector: &str) {
    let pool = sqlx::mysql::MySqlPoolOptions::new().max_connections(1).connect(&database.url(inspector)).await.unwrap();
    let (_, windows) = WINDOWS.iter().find(|(of, _)| *of == name).unwrap();
    for path in queries(name) {
        let query = path.file_stem().unwrap().to_str().unwrap();
        let window = windows.iter().find(|(of, _)| *of == query).map(|(_, window)| *window);
        let (read, rows) = cost(&pool, &std::fs::read_to_string(&path).unwrap()).await;
        // Each row of a window is read from the table, then as a row of the window, and is joined, grouped or sorted.
        let most = 4 * window.unwrap_or(0) + FEW;
        assert!(read <= most, "{query} read {read} rows, its window is {window:?}");
        assert!(window.is_none() || rows > 0, "{query} found nothing");
    }
}

/// What the first two columns of a query say: a name, and how many.
async fn counts(pool: &MySqlPool, file: &str) -> Vec<(String, i64)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/inspect").join(file);
    let rows = pool.fetch_all(AssertSqlSafe(std::fs::read_to_string(path).unwrap())).await.unwrap();
    let mut counts: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    counts.sort();
    counts
}

both_engines! {
    async fn the_query_of_the_emails_tells_every_state_apart(engine: Engine) {
        let database = Database::create(engine, &NOTIFICATIONS).await;
        let admin = database.admin_pool().await;
        let states = [
            ("pending", 0, 0), ("pending", 0, 7), ("pending", 2, 0), ("dead", 5, 0), ("discarded", 5, 0), ("done", 1, 0),
            ("withdrawn", 0, 0),
        ];
        for (i, (state, attempts, put_off)) in (0_u8..).zip(states) {
            sqlx::query(
                "INSERT INTO effect (id, queue, subject, kind, body, state, attempts, put_off)
                 VALUES (?, 'emails', 'order', 'order.created', '{}', ?, ?, ?)",
            )
            .bind([i; 16].as_slice()).bind(state).bind(attempts).bind(put_off)
            .execute(&admin)
            .await
            .unwrap();
        }
        let inspector = database.pool("notifications_inspector").await;
        let told = counts(&inspector, "notifications/emails.sql").await;
        let expected = ["dead", "discarded", "pending", "put off", "retry", "sent", "suppressed"];
        let expected = expected.map(|state| (state.to_owned(), 1));
        assert_eq!(told, expected);
    }

    async fn the_query_of_the_unproven_tells_what_no_relay_published(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let forge = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload, state, published_at)
                     VALUES ('order', '4711', 'order.created', 'order.created', '{}', 'published', '2020-01-01')";
        sqlx::query(forge).execute(&database.admin_pool().await).await.unwrap();
        let told = counts(&database.pool("orders_inspector").await, "orders/unproven.sql").await;
        assert_eq!(told, [("order.created".to_owned(), 1)]);
    }

    async fn operators_queries_run_with_no_more_than_read_rights(engine: Engine) {
        inspect(engine, &ORDERS, "orders_inspector").await;
        inspect(engine, &NOTIFICATIONS, "notifications_inspector").await;
        inspect(engine, &PAYMENTS, "payments_inspector").await;
    }

    async fn operators_queries_read_no_more_than_their_window_of_100_000_rows(engine: Engine) {
        let orders = Database::create(engine, &ORDERS).await;
        fill_orders(&orders.admin_pool().await).await;
        measure(&orders, ORDERS.name, "orders_inspector").await;
        let notifications = Database::create(engine, &NOTIFICATIONS).await;
        fill_notifications(&notifications.admin_pool().await).await;
        measure(&notifications, NOTIFICATIONS.name, "notifications_inspector").await;
        let payments = Database::create(engine, &PAYMENTS).await;
        fill_payments(&payments.admin_pool().await).await;
        measure(&payments, PAYMENTS.name, "payments_inspector").await;
    }
}
