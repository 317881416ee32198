//! What is read grows with what is asked for, not with what has been kept: 100,000 effects.

use std::time::Duration;

use runtime::mysql::Pool;
use stack::both_engines;
use stack::testing::{Database, Engine};

use super::action::State;
use super::{count, purge, queue};

const LEASE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

/// Rows that this one session has read so far, by index or by position.
async fn rows_read(pool: &Pool) -> u64 {
    let status: Vec<(String, String)> =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Handler_read%'").fetch_all(pool).await.unwrap();
    let counted = status.iter().filter(|(name, _)| !name.ends_with("_rnd_next")); // SHOW STATUS reads a table, too
    counted.map(|(_, number)| number.parse::<u64>().unwrap()).sum()
}

/// In each thousand nine hundred and ninety are done, one a minute for 70 days; five are dead and five pending, of which one is
/// due and the others wait for the next hour.
const FILL: &str = "INSERT INTO effect (id, queue, subject, kind, body, state, next_attempt_at, ended_at)
     WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 315), n (i) AS
          (SELECT a.i * 317 + b.i FROM a JOIN (SELECT i FROM a UNION ALL SELECT 316) b)
     SELECT UNHEX(LPAD(HEX(i + 1), 32, '0')), 'emails', 'order', 'order.created', '{}',
            CASE WHEN i % 200 = 0 THEN 'dead' WHEN i % 200 = 1 THEN 'pending' ELSE 'done' END,
            UTC_TIMESTAMP(6) + INTERVAL IF(i % 1000 = 1, -1, 1) HOUR,
            IF(i % 200 = 1, NULL, UTC_TIMESTAMP(6) - INTERVAL (100000 - i) MINUTE)
     FROM n WHERE i < 100000";

both_engines! {
    async fn the_queue_reads_what_is_due_or_old_of_100_000_effects(engine: Engine) {
        let database = Database::create(engine, &schema::database::NOTIFICATIONS).await;
        let admin = database.admin_pool().await;
        sqlx::query(FILL).execute(&admin).await.unwrap();
        sqlx::query("ANALYZE TABLE effect").execute(&admin).await.unwrap();
        let pool = database.service_pool("notify_svc", 1);

        let before = rows_read(&pool).await;
        let mut tx = pool.begin().await.unwrap();
        assert_eq!(queue::due(&mut tx, "emails", false, 16).await.unwrap().len(), 16);
        assert_eq!(queue::due_newest(&mut tx, "emails", 16).await.unwrap().len(), 16);
        tx.rollback().await.unwrap();
        let read = rows_read(&pool).await - before;
        assert!(read < 80, "{read} rows for twice 16 effects");

        let before = rows_read(&pool).await;
        let sample = count::sample(&pool, "emails").await.unwrap();
        assert_eq!((sample.pending, sample.dead, sample.overdue), (500, 500, 0));
        let read = rows_read(&pool).await - before;
        assert!(read < 2100, "{read} rows to count a thousand effects");

        // Nothing, a little, nearly all of the table is old.
        for (age_min, purged) in [(80 * DAY, 0..=0), (69 * DAY, 600..=650), (69 * DAY, 0..=5), (DAY, 1000..=1000)] {
            let before = rows_read(&pool).await;
            let rows = purge::purge(&pool, "emails", State::Done, age_min, 1000).await.unwrap();
            let read = rows_read(&pool).await - before;
            assert!(purged.contains(&rows), "{rows} purged, older than {age_min:?}");
            assert!(read <= 4 * rows + 5, "{read} rows read to purge {rows} older than {age_min:?}");
        }

        // 400 wait for the next hour, as far as they are new: the clock that put them there was wrong.
        sqlx::query("UPDATE effect SET attempts = 1").execute(&admin).await.unwrap();
        let before = rows_read(&pool).await;
        assert_eq!(queue::bring_back(&pool, "emails", LEASE, Duration::from_secs(7200)).await.unwrap(), 0);
        let read = rows_read(&pool).await - before;
        assert!(read < 10, "{read} rows to find that no effect is due too late");
    }
}
