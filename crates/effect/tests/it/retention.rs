//! How long effects are kept.

use stack::both_engines;
use stack::testing::{Engine, eventually};

use crate::other_side::Service;

/// More than one step purges, that ended two days ago, and one of each other state; the service keeps them for a day.
const OLD: &str = "INSERT INTO effect (id, queue, subject, kind, body, state, next_attempt_at, created_at, ended_at)
     WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 49)
     SELECT UNHEX(LPAD(HEX(x.i * 50 + y.i + 1), 32, '0')), 'provider', 'old', 'goes', '{}',
            CASE WHEN x.i > 0 THEN 'done' ELSE ELT(y.i % 4 + 1, 'withdrawn', 'discarded', 'dead', 'pending') END,
            UTC_TIMESTAMP(6) + INTERVAL 20 SECOND, UTC_TIMESTAMP(6) - INTERVAL 2 DAY,
            IF(x.i = 0 AND y.i % 4 = 3, NULL, UTC_TIMESTAMP(6) - INTERVAL 2 DAY)
     FROM a AS x JOIN a AS y";

both_engines! {
    async fn what_ended_long_ago_is_purged_and_nothing_else(engine: Engine) {
        let service = Service::start(engine).await;
        sqlx::query(OLD).execute(&service.admin).await.unwrap();
        let running = service.run();
        let new = service.enqueue("goes").await;
        service.until(new, "done").await;
        let count = async |states: &'static str| {
            let counted = sqlx::query_scalar::<_, i64>(states);
            counted.fetch_one(&service.admin).await.unwrap()
        };
        eventually("what ended is purged", async || {
            count("SELECT COUNT(*) FROM effect WHERE subject = 'old' AND state IN ('done', 'withdrawn', 'discarded')").await == 0
        })
        .await;
        assert_eq!(count("SELECT COUNT(*) FROM effect WHERE subject = 'old' AND state = 'dead'").await, 12);
        assert_eq!(service.state(new).await, "done", "it is young");
        running.stop().await;
    }
}
