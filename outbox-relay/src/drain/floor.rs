//! Claiming from the beginning of the outbox.
//!
//! Guarantees that many events that wait for their next attempt are gone through now and then only. In between, those that have
//! waited are found by their index, and new ones at the end of the table. What appears further behind meanwhile, such as an old
//! event that a person requeued, waits until all are gone through again: [`TIME`] at most, and only while many wait.

use std::time::{Duration, Instant};

use runtime::mysql::Pool;

use crate::store::outbox::{self, Found, Limits};
use crate::store::outbox_view;

/// From so many waiting events on they are not gone through by each claim.
const MANY_WAITING: u32 = 5_000;
/// A row may commit so many keys behind others and is found at once.
const LATE_MAX: u64 = 1_000;
/// How often all are gone through where many wait.
const TIME: Duration = Duration::from_secs(15);

/// A key below which nothing is due that the index of those that wait does not show, and until when that is taken for true.
#[derive(Debug, Default)]
pub struct Floor(Option<(u64, Instant)>);

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
        self.0 = None;
        let found = outbox::claim(pool, 0, limits).await?;
        if !found.is_full && outbox::count_waiting(pool, MANY_WAITING).await? == i64::from(MANY_WAITING) {
            let last = outbox_view::last_seq(pool).await?;
            self.0 = Some((last.saturating_sub(LATE_MAX), Instant::now() + TIME));
        }
        Ok(found)
    }
}
