//! Claiming from the beginning of the outbox.
//!
//! Guarantees that what is not due is gone through now and then only: many events that wait for their next attempt, and what the
//! index still has of many that were published, for as long as a dump or another long transaction reads the table as it was. In
//! between, those that have waited are found by their index, and new ones at the end of the table. What appears further behind
//! meanwhile, such as an old event that a person requeued, waits until all are gone through again: [`TIME`] at most.

use std::time::{Duration, Instant};

use runtime::mysql::Pool;
use schema::sequence::Seq;

use crate::store::outbox::{self, Found, Limits};
use crate::store::outbox_view;

/// From so many waiting events on they are not gone through by each claim.
const MANY_WAITING: u32 = 5_000;
/// A claim that takes so long has gone through many entries that it did not return.
const SLOW: Duration = Duration::from_millis(3);
/// So many cost less than that; a claim that is slow in a smaller table has another reason.
const ENTRIES_MIN: Seq = Seq(50_000);
/// A row may commit so many keys behind others and is found at once.
const LATE_MAX: u64 = 1_000;
/// How often all are gone through then.
const TIME: Duration = Duration::from_secs(15);

/// A key below which nothing is due that the index of those that wait does not show, and until when that is taken for true.
#[derive(Debug, Default)]
pub struct Floor(Option<(Seq, Instant)>);

impl Floor {
    /// Whether the last claim may have left out events that are due: what follows them has to be checked one by one.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The oldest events that are due.
    ///
    /// # Errors
    /// If the outbox can't be read.
    pub async fn claim(&mut self, pool: &Pool, limits: Limits) -> sqlx::Result<Found> {
        if let Some((floor, _)) = self.0.filter(|(_, until)| Instant::now() < *until) {
            let mut found = outbox::claim_waited(pool, limits).await?;
            found.rows.retain(|row| row.seq <= floor);
            let new = outbox::claim(pool, floor, limits).await?;
            found.rows.extend(new.rows);
            found.rows.sort_unstable_by_key(|row| row.seq);
            return Ok(Found { is_full: found.is_full || new.is_full, bytes: found.bytes + new.bytes, ..found });
        }
        let begun_at = Instant::now();
        let found = outbox::claim(pool, Seq::ZERO, limits).await?;
        let is_slow = begun_at.elapsed() > SLOW;
        self.0 = match found.is_full {
            true => None,
            false => Self::find(pool, is_slow).await?.map(|floor| {
                // What was found may have to be found again, after an outage.
                let first = found.rows.first().map_or(Seq::MAX, |row| row.seq);
                (floor.min(first.previous()), Instant::now() + TIME)
            }),
        };
        Ok(found)
    }

    /// After a claim that found all there was.
    async fn find(pool: &Pool, is_slow: bool) -> sqlx::Result<Option<Seq>> {
        let many_wait = outbox::count_waiting(pool, MANY_WAITING).await? == i64::from(MANY_WAITING);
        if !many_wait && !is_slow {
            return Ok(None);
        }
        let last = outbox_view::last_seq(pool).await?;
        Ok((many_wait || last > ENTRIES_MIN).then(|| last.minus(LATE_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use schema::database::ORDERS;
    use schema::sequence::Seq;
    use sqlx::{AssertSqlSafe, MySqlPool};
    use stack::both_engines;
    use stack::testing::{Database, Engine, MySql};

    use super::{Floor, Limits, Pool};

    const PUBLISHED: u64 = 200_000;

    const FILL: &str = "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload)
         WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 447), n (i) AS
           (SELECT a.i * 448 + b.i FROM a JOIN a AS b)
         SELECT UNHEX(LPAD(HEX(i + 1), 32, '0')), 'order', i, 'order.created', 'order.created', '{}'
         FROM n WHERE i < 200000 ORDER BY i";

    async fn seqs(floor: &mut Floor, pool: &Pool) -> Vec<Seq> {
        let limits = Limits { rows: 100, bytes: 1 << 20, payload_bytes: 1 << 20 };
        floor.claim(pool, limits).await.unwrap().rows.iter().map(|row| row.seq).collect()
    }

    /// Pages that the server has asked its buffer pool for.
    async fn pages(admin: &MySqlPool) -> u64 {
        let status = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_read_requests'";
        let (_, pages): (String, String) = sqlx::query_as(status).fetch_one(admin).await.unwrap();
        pages.parse().unwrap()
    }

    both_engines! {
        async fn a_dump_slows_down_one_claim_and_not_the_next(engine: Engine) {
            let server = MySql::start(engine).await;
            let database = Database::create_on(&server, &ORDERS).await;
            let (admin, pool) = (database.admin_pool().await, database.service_pool("outbox_relay", 2));
            sqlx::query(FILL).execute(&admin).await.unwrap();
            let mut dump = admin.acquire().await.unwrap();
            sqlx::raw_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT").execute(&mut *dump).await.unwrap();
            sqlx::query("SELECT COUNT(*) FROM outbox").execute(&mut *dump).await.unwrap();
            let publish = format!("UPDATE outbox SET state = 'published', published_at = UTC_TIMESTAMP(6) WHERE seq < {PUBLISHED}");
            sqlx::query(AssertSqlSafe(publish)).execute(&admin).await.unwrap();

            let mut floor = Floor::default();
            let before = pages(&admin).await;
            assert_eq!(seqs(&mut floor, &pool).await, [Seq(PUBLISHED)]);
            let first = pages(&admin).await - before;
            assert!(floor.is_set(), "{first} pages were not slow");
            let before = pages(&admin).await;
            assert_eq!(seqs(&mut floor, &pool).await, [Seq(PUBLISHED)]);
            let next = pages(&admin).await - before;
            assert!(next < first / 4, "{next} pages after {first}");
            sqlx::raw_sql("ROLLBACK").execute(&mut *dump).await.unwrap();
        }
    }
}
