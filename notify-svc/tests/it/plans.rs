//! What is read grows with what is asked for, not with what has been kept: 100,000 rows in each table.

use std::time::Duration;

use ::inbox::store::{inbox, inbox_due, inbox_parked};
use notify_svc::handler;
use notify_svc::notification::EmailState;
use notify_svc::store::{notification_lists, notifications};
use runtime::mysql::Pool;
use runtime::page::Page;
use schema::aggregate::AggregateId;
use schema::ids::{EventId, OrderId};
use schema::names;
use sqlx::MySqlPool;
use stack::testing::Database;
use stack::{Engine, both_engines};
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(86_400);

/// One connection as the service's user, so that the session's counters are those of the query between two looks.
fn pool(database: &Database) -> Pool {
    database.service_pool("notify_svc", 1)
}

/// Rows that this one session has read so far, by index or by position.
async fn rows_read(pool: &Pool) -> u64 {
    let status: Vec<(String, String)> =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Handler_read%'").fetch_all(pool).await.unwrap();
    let counted = status.iter().filter(|(name, _)| !name.ends_with("_rnd_next")); // SHOW STATUS reads a table, too
    counted.map(|(_, number)| number.parse::<u64>().unwrap()).sum()
}

const NUMBERS: &str = "WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 315), n (i) AS
                         (SELECT a.i * 317 + b.i FROM a JOIN (SELECT i FROM a UNION ALL SELECT 316) b)";

async fn insert(admin: &MySqlPool, into: &str, select: &str) {
    let sql = format!("INSERT INTO {into} {NUMBERS} SELECT {select} FROM n WHERE i < 100000");
    let inserted = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(admin).await.unwrap().rows_affected();
    assert_eq!(inserted, 100_000);
}

/// One row a minute for 70 days, the oldest first.
async fn fill_inbox(admin: &MySqlPool) {
    let select = format!(
        "'{}', UNHEX(LEFT(SHA2(i, 256), 32)), 'order.created', 'order', 'o', REPEAT('h', 32), i,
         UTC_TIMESTAMP(6) - INTERVAL (100000 - i) MINUTE",
        names::NOTIFY_DURABLE
    );
    let into = "inbox (consumer, event_id, event_type, aggregate_type, aggregate_id, payload_sha256, stream_seq,
                       received_at)";
    insert(admin, into, &select).await;
    sqlx::query("ANALYZE TABLE inbox").execute(admin).await.unwrap();
}

/// A hundred notifications of each of a thousand orders; in each thousand nine hundred and ninety are sent, five are dead
/// and five pending, of which one is due; of those that are not sent a fifth was held back.
async fn fill_notifications(admin: &MySqlPool) {
    let id = "UNHEX(LPAD(HEX(i + 1), 32, '0'))";
    let select = format!(
        "{id}, UNHEX(LEFT(SHA2(i, 256), 32)), 'order.created', UNHEX(LPAD(HEX(i % 1000), 32, '0')), 'tea', 1,
         IF(i % 200 IN (0, 1), NULL, UTC_TIMESTAMP(6)), IF(i % 1000 = 0, ELT(i DIV 1000 % 5 + 1, 'bounce', 'complaint', 'unsubscribed', 'operator', 'erased'), NULL)"
    );
    let into = "notifications (id, event_id, event_type, order_id, product, quantity, sent_at, suppressed)";
    insert(admin, into, &select).await;
    let select = format!(
        "{id}, 'emails', 'order', 'order.created', '{{}}',
         CASE WHEN i % 200 = 0 THEN 'dead' WHEN i % 200 = 1 THEN 'pending' ELSE 'done' END,
         UTC_TIMESTAMP(6) + INTERVAL IF(i % 1000 = 1, -1, 1) HOUR"
    );
    insert(admin, "effect (id, queue, subject, kind, body, state, next_attempt_at)", &select).await;
    sqlx::query("ANALYZE TABLE notifications, effect").execute(admin).await.unwrap();
}

/// A notification a minute for the last 100,000 minutes, all told.
async fn fill_old_notifications(admin: &MySqlPool) {
    let id = "UNHEX(CONCAT(LPAD(HEX((UNIX_TIMESTAMP() - i * 60) * 1000), 12, '0'), LPAD(HEX(i), 20, '0')))";
    let select = format!("{id}, {id}, 'order.created', {id}, 'tea', 1, UTC_TIMESTAMP(6) - INTERVAL i MINUTE");
    insert(admin, "notifications (id, event_id, event_type, order_id, product, quantity, created_at)", &select).await;
    sqlx::query("ANALYZE TABLE notifications").execute(admin).await.unwrap();
}

/// Half of them wait in one order, the others each in its own; ten are due.
async fn fill_parked(admin: &MySqlPool) {
    let select = format!(
        "'{}', UNHEX(LPAD(HEX(i + 1), 32, '0')), 'order.cancelled', 'order',
         IF(i % 2 = 0, 1000000, i), IF(i % 2 = 0, i DIV 2 + 3, 2), REPEAT('h', 32), i,
         UTC_TIMESTAMP(6), 'order.cancelled', '[]', '{{}}', UTC_TIMESTAMP(6) - INTERVAL (100000 - i) SECOND,
         IF(i % 10000 = 5, UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, NULL)",
        names::NOTIFY_DURABLE
    );
    let into = "inbox_parked (consumer, event_id, event_type, aggregate_type, aggregate_id, aggregate_version,
                              payload_sha256, stream_seq, stored_at, subject, headers, payload, parked_at, due_at)";
    insert(admin, into, &select).await;
    sqlx::query("ANALYZE TABLE inbox_parked").execute(admin).await.unwrap();
}

both_engines! {
    async fn a_hundred_thousand_parked_events_make_nobody_read_more(engine: Engine) {
        let database = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        fill_parked(&database.admin_pool().await).await;
        let (pool, source) = (pool(&database), handler::source());
        let order = |number: u32| number.to_string().parse().unwrap();
        let many: AggregateId = order(1_000_000);
        let news: Vec<_> = (0..256).map(|number| (order(2_000_000 + number), 2)).collect();
        let chain: Vec<_> = (3..103).map(|version| (many, version)).collect();
        let before = rows_read(&pool).await;
        assert_eq!(inbox_parked::standing(&pool, &source, &news).await.unwrap().len(), 0);
        let read = rows_read(&pool).await - before;
        assert!(read < 600, "{read} rows to see that 256 new events are not parked");

        let before = rows_read(&pool).await;
        assert_eq!(inbox_due::due(&pool, &source, 64).await.unwrap().len(), 10);
        assert_eq!(inbox_parked::gaps(&pool, &source, 100).await.unwrap().len(), 100);
        let read = rows_read(&pool).await - before;
        assert!(read < 400, "{read} rows for what is due and a page of gaps");

        let before = rows_read(&pool).await;
        let mut tx = pool.begin().await.unwrap();
        assert_eq!(inbox_parked::first(&mut tx, &source, many, 2).await.unwrap(), Some(3));
        assert_eq!(inbox_parked::at(&mut tx, &source, &[(many, 2)]).await.unwrap().len(), 0);
        let found = inbox_parked::at(&mut tx, &source, &chain).await.unwrap();
        assert_eq!(found.len(), 100);
        inbox_due::mark(&mut tx, &source, &[(many, 104)]).await.unwrap();
        let ids: Vec<EventId> = found.iter().map(|(_, parked)| parked.event_id).collect();
        inbox_parked::remove_all(&mut tx, &source, &ids).await.unwrap();
        tx.commit().await.unwrap();
        let read = rows_read(&pool).await - before;
        assert!(read < 1000, "{read} rows to take a hundred parked events along");
        assert_eq!(inbox_due::due(&pool, &source, 64).await.unwrap().len(), 11);

        let before = rows_read(&pool).await;
        assert_eq!(inbox_parked::count(&pool, &source).await.unwrap(), 10_000);
        assert!(rows_read(&pool).await - before < 10_010);
    }

    async fn a_purge_reads_what_it_deletes_of_100_000_notifications(engine: Engine) {
        let database = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        fill_old_notifications(&database.admin_pool().await).await;
        let pool = pool(&database);
        for (age_min, purged) in [(80 * DAY, 0..=0), (69 * DAY, 630..=650), (69 * DAY, 0..=5), (DAY, 1000..=1000)] {
            let before = rows_read(&pool).await;
            let rows = notifications::purge(&pool, age_min, 1000).await.unwrap();
            let read = rows_read(&pool).await - before;
            assert!(purged.contains(&rows), "{rows} purged, older than {age_min:?}");
            assert!(read <= 6 * rows + 50, "{read} rows read to purge {rows} older than {age_min:?}");
        }
    }

    async fn a_purge_reads_what_it_deletes_of_100_000_inbox_rows(engine: Engine) {
        let database = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        fill_inbox(&database.admin_pool().await).await;
        let (pool, source) = (pool(&database), handler::source());
        // Nothing, a little, nearly all of the table is old.
        for (age_min, purged) in [(80 * DAY, 0..=0), (69 * DAY, 630..=650), (69 * DAY, 0..=5), (DAY, 1000..=1000)] {
            let before = rows_read(&pool).await;
            let rows = inbox::purge(&pool, &source, age_min, 1000).await.unwrap();
            let read = rows_read(&pool).await - before;
            assert!(purged.contains(&rows), "{rows} purged, older than {age_min:?}");
            assert!(read <= 4 * rows + 5, "{read} rows read to purge {rows} older than {age_min:?}");
        }
    }

    async fn a_page_reads_a_pages_worth_of_100_000_notifications(engine: Engine) {
        let database = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        fill_notifications(&database.admin_pool().await).await;
        let pool = pool(&database);
        for below in [Uuid::max(), Uuid::from_u128(50_000)] {
            let page = Page { below, limit: 20 };
            for state in [None, Some(EmailState::Sent), Some(EmailState::Pending), Some(EmailState::Dead), Some(EmailState::Suppressed)] {
                let before = rows_read(&pool).await;
                let found = match state {
                    Some(state) => notification_lists::in_state(&pool, state, page).await.unwrap(),
                    None => notification_lists::all(&pool, page).await.unwrap(),
                };
                let read = rows_read(&pool).await - before;
                assert_eq!(found.len(), 21);
                // Of each cause a page.
                let most = if state == Some(EmailState::Suppressed) { 400 } else { 60 };
                assert!(read < most, "{read} rows for a page of {state:?} below {below}");
            }
            // All of an order's hundred are pending, or none: an order has a handful of notifications, read whole if need be.
            for (order, state, rows) in [(1, None, 21), (1, Some(EmailState::Pending), 21), (1, Some(EmailState::Dead), 0)] {
                let before = rows_read(&pool).await;
                let order_id = OrderId(Uuid::from_u128(order));
                let found = notification_lists::of_order(&pool, order_id, state, page).await.unwrap();
                let read = rows_read(&pool).await - before;
                assert_eq!(found.len(), rows);
                assert!(read < 220, "{read} rows for a page of an order with {state:?} below {below}");
            }
        }
    }
}
