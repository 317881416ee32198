//! What a statement reads and locks are the events that it is about, however small or lopsided the outbox is. The statements are
//! those of `.sqlx`.

use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Executor, MySqlPool, Row};
use stack::testing::Database;
use stack::{Engine, both_engines};

use crate::plans::{cost, statements_for};

/// Published events of one aggregate.
const PUBLISHED: u64 = 200_000;

/// Events by number, each of an aggregate of its own, two of each state.
async fn few(admin: &MySqlPool) {
    let insert =
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload, state, stream_seq)
                  SELECT UNHEX(LPAD(HEX(n), 32, '0')), 'order', n, 'order.created', 'order.created', '{}',
                         ELT(n % 4 + 1, 'pending', 'published', 'held', 'dead'), IF(n % 4 = 1, n, 0)
                  FROM JSON_TABLE('[1, 1, 1, 1, 1, 1, 1, 1]', '$[*]' COLUMNS (n FOR ORDINALITY)) AS list
                  ORDER BY n";
    assert_eq!(sqlx::query(insert).execute(admin).await.unwrap().rows_affected(), 8);
    sqlx::query("ANALYZE TABLE outbox").execute(admin).await.unwrap();
    // The token that the statements give.
    sqlx::query("UPDATE relay_lease SET holder = '0'").execute(admin).await.unwrap();
}

/// Many published events of one aggregate, then a dead one and a pending one.
async fn long_aggregate(admin: &MySqlPool) {
    let insert = "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload, state)
                  WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 447), n (i) AS
                    (SELECT a.i * 448 + b.i FROM a JOIN a AS b)
                  SELECT UNHEX(LPAD(HEX(i + 1), 32, '0')), 'order', '7', 'order.created', 'order.created', '{}',
                         CASE WHEN i < ? THEN 'published' WHEN i = ? THEN 'dead' ELSE 'pending' END
                  FROM n WHERE i < ? + 2 ORDER BY i";
    sqlx::query(insert).bind(PUBLISHED).bind(PUBLISHED).bind(PUBLISHED).execute(admin).await.unwrap();
    sqlx::query("ANALYZE TABLE outbox").execute(admin).await.unwrap();
}

both_engines! {
    async fn a_locked_row_keeps_no_other_event_from_being_changed(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let admin = database.admin_pool().await;
        few(&admin).await;
        let of_a_list = |s: &String| s.contains("JSON_TABLE(") && ["UPDATE ", "DELETE ", "INSERT "].iter().any(|verb| s.starts_with(verb));
        let mut locked = admin.begin().await.unwrap();
        let lock = "SELECT seq FROM outbox FORCE INDEX (PRIMARY) WHERE seq > 4 FOR UPDATE";
        assert_eq!(locked.fetch_all(lock).await.unwrap().len(), 4);
        for events in [1..5, 1..2, 2..3, 3..4, 4..5] {
            let changes: Vec<_> = statements_for(events).into_iter().filter(of_a_list).collect();
            assert!(changes.len() >= 10, "{changes:#?}");
            for change in changes {
                let mut tx = admin.begin().await.unwrap();
                tx.execute("SET SESSION innodb_lock_wait_timeout = 1").await.unwrap();
                tx.execute(AssertSqlSafe(&*change)).await.unwrap_or_else(|error| panic!("{error}: {change}"));
                tx.rollback().await.unwrap();
            }
        }
        locked.rollback().await.unwrap();
    }

    async fn a_dead_event_is_found_beside_200_000_published_ones_of_its_aggregate(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let pool = MySqlPoolOptions::new().max_connections(1).connect(&database.admin_url()).await.unwrap();
        long_aggregate(&pool).await;
        let (dead, pending) = (PUBLISHED + 1, u32::try_from(PUBLISHED + 2).unwrap());
        let answer = async |part: &str| {
            let statements = statements_for(pending..pending + 1);
            let earlier = statements.iter().find(|s| s.contains("latest") && s.contains(part)).unwrap();
            let earlier = earlier.replace("<= 51000", &format!("<= {pending}"));
            let (rows, read) = cost(&pool, &earlier).await;
            let found = rows.iter().map(|row| (row.get::<Option<u64>, _>(1), row.get::<Option<u64>, _>(2)));
            (found.collect::<Vec<_>>(), read)
        };
        let (found, read) = answer("LEFT JOIN (SELECT seq").await;
        assert_eq!(found, [(Some(dead), Some(dead))]);
        assert!(read < 100, "{read} rows");
        // When there are too many that are not published.
        assert_eq!(answer("outbox AS earlier").await.0, found);
    }
}
