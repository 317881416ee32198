//! The table `outbox`: how much there is in which state, for people and gauges.

use runtime::mysql::Pool;
use serde::Serialize;
use sqlx::Row;

/// How many events stand in a state, and since when the oldest does.
#[derive(Debug)]
pub struct StateCount {
    pub events: i64,
    pub oldest_seconds: Option<f64>,
}

/// More events than this are not counted: how many the optimizer believes that there are is read instead.
const COUNT_MAX: u32 = 10_000;

/// Counts the events in a state by the index `claim`, with the time since the oldest was inserted. What is more than
/// [`COUNT_MAX`] is an estimate: counting a backlog of a million every few seconds would cost the database more than the
/// relay's own work. Locks nothing.
pub async fn count(pool: &Pool, state: State) -> sqlx::Result<StateCount> {
    let mut events = sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "events!: i64"
           FROM (SELECT seq
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = ?
                 LIMIT ?) AS first_ones"#,
        state.as_str(),
        COUNT_MAX
    )
    .fetch_one(pool)
    .await?;
    if events >= i64::from(COUNT_MAX) {
        events = events.max(estimate(pool, state).await?);
    }
    Ok(StateCount { events, oldest_seconds: oldest_seconds(pool, state).await? })
}

/// Since the oldest event in a state was inserted. A pending one that waits for its next attempt stands for no backlog and is
/// passed over, among [`COUNT_MAX`]. Locks nothing.
async fn oldest_seconds(pool: &Pool, state: State) -> sqlx::Result<Option<f64>> {
    let oldest = sqlx::query_scalar!(
        r#"SELECT CAST(GREATEST(TIMESTAMPDIFF(MICROSECOND, inserted_at, UTC_TIMESTAMP(6)), 0) / 1e6 AS DOUBLE)
                  AS "seconds!: f64"
           FROM (SELECT seq, state, inserted_at, next_attempt_at
                 FROM outbox FORCE INDEX (claim)
                 WHERE state = ?
                 ORDER BY seq
                 LIMIT ?) AS oldest
           WHERE state <> 'pending'
              OR next_attempt_at IS NULL
              OR next_attempt_at <= UTC_TIMESTAMP(6)
           ORDER BY seq
           LIMIT 1"#,
        state.as_str(),
        COUNT_MAX
    );
    oldest.fetch_optional(pool).await
}

/// How many events wait for their next attempt or for a limit, [`COUNT_MAX`] at most. By the index `waiting`. Locks nothing.
pub async fn waiting(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "waiting!: i64"
           FROM (SELECT 1 FROM outbox WHERE next_attempt_at IS NOT NULL LIMIT ?) AS waiting"#,
        COUNT_MAX
    )
    .fetch_one(pool)
    .await
}

/// How many events the optimizer believes to be in a state, by two estimates from the index.
async fn estimate(pool: &Pool, state: State) -> sqlx::Result<i64> {
    let explain = match state {
        State::Pending => {
            "EXPLAIN FORMAT = TRADITIONAL SELECT seq FROM outbox FORCE INDEX (claim) WHERE state = 'pending'"
        }
        State::Held => "EXPLAIN FORMAT = TRADITIONAL SELECT seq FROM outbox FORCE INDEX (claim) WHERE state = 'held'",
        State::Dead => "EXPLAIN FORMAT = TRADITIONAL SELECT seq FROM outbox FORCE INDEX (claim) WHERE state = 'dead'",
    };
    let row = sqlx::query(explain).fetch_one(pool).await?;
    Ok(row.try_get_unchecked::<Option<i64>, _>("rows")?.unwrap_or_default())
}

/// A state that an event can be counted in; published ones are not, for their number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pending,
    Held,
    Dead,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Held, Self::Dead];

    /// The name in the table and in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Dead => "dead",
        }
    }
}
