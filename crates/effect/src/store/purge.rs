//! `effect` as what is kept: rows that ended are deleted when they are old.

use std::time::Duration;

use runtime::mysql::Pool;

use super::action::State;

/// What is purged by age.
pub(crate) const ENDED: [State; 3] = [State::Done, State::Withdrawn, State::Discarded];

/// Deletes effects that ended in this state so long ago, the oldest first, by the index `ended`. Locks those rows.
///
/// # Errors
/// Any fault.
pub(crate) async fn purge(
    pool: &Pool,
    queue: &str,
    state: State,
    age_min: Duration,
    rows_max: u32,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        // A DELETE of one table takes no index for granted: left to themselves, the servers walk the whole primary key.
        "DELETE e
         FROM (SELECT id
               FROM effect FORCE INDEX (ended)
               WHERE queue = ? AND state = ? AND ended_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
               ORDER BY ended_at
               LIMIT ?) AS old
         STRAIGHT_JOIN effect AS e ON e.id = old.id",
        queue,
        state.as_str(),
        age_min.as_secs(),
        rows_max,
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
