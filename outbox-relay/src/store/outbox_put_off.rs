//! The table `outbox`: events that wait until the broker takes them.
//!
//! They are `held` with a reason, so that they cost a claim nothing. One that waits for a limit has `next_attempt_at`, when
//! it is tried again at the latest; one that waits for its subject has none, and is let go on when the stream takes it.

use std::time::Duration;

use runtime::mysql::Pool;
use schema::names::OUTBOX_LEASE;
use sqlx::types::Json;

use crate::limits::{Cause, PutOff};

/// Rows that are made due in one statement.
const DUE_PIECE: u32 = 5_000;
/// Where the search for aggregates stops: many events may wait for another reason.
const ROWS_MAX: u32 = 10_000;

/// Has events wait, without spending an attempt. Locks their rows.
pub async fn put_off(pool: &Pool, token: &str, events: &[PutOff]) -> sqlx::Result<u64> {
    let list: Vec<_> = events
        .iter()
        .map(|event| (event.key.seq, event.key.event_id.simple().to_string(), delay_micros(event), &event.reason))
        .collect();
    let put_off = sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq      BIGINT UNSIGNED PATH '$[0]',
                                              event_id CHAR(32) PATH '$[1]',
                                              delay    BIGINT UNSIGNED PATH '$[2]',
                                              reason   VARCHAR(1000) PATH '$[3]')) AS list
         STRAIGHT_JOIN outbox FORCE INDEX (PRIMARY)
              ON outbox.seq = list.seq AND outbox.event_id = UNHEX(list.event_id)
         SET outbox.state           = 'held',
             outbox.next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL list.delay MICROSECOND,
             outbox.last_error      = list.reason
         WHERE outbox.state = 'pending'
           AND (SELECT holder FROM relay_lease WHERE name = ?) = ?",
        Json(list),
        OUTBOX_LEASE,
        token
    )
    .execute(pool)
    .await?;
    Ok(put_off.rows_affected())
}

fn delay_micros(event: &PutOff) -> Option<u64> {
    match event.cause {
        Cause::Subject => None,
        Cause::Limit(delay) => Some(micros(delay)),
    }
}

/// How many aggregates have an event that waits for a limit, about, among the last [`ROWS_MAX`] that wait for anything. By the index
/// `waiting`. Locks nothing.
pub async fn aggregates_over_limit(pool: &Pool) -> sqlx::Result<usize> {
    let aggregates = sqlx::query_scalar!(
        r#"SELECT COUNT(DISTINCT aggregate_type, aggregate_id) AS "aggregates!: i64"
           FROM (SELECT aggregate_type, aggregate_id, state
                 FROM outbox FORCE INDEX (waiting)
                 WHERE next_attempt_at IS NOT NULL
                 ORDER BY next_attempt_at DESC
                 LIMIT ?) AS newest
           WHERE state = 'held'"#,
        ROWS_MAX
    )
    .fetch_one(pool)
    .await?;
    Ok(usize::try_from(aggregates).unwrap_or(0))
}

/// Lets the events that wait for a limit be tried now, after it was raised; how many. Locks their rows, a piece at a time.
pub async fn make_due(pool: &Pool, token: &str) -> sqlx::Result<u64> {
    let mut due = 0;
    loop {
        let piece = sqlx::query!(
            "UPDATE outbox FORCE INDEX (waiting)
             SET next_attempt_at = NULL
             WHERE next_attempt_at IS NOT NULL
               AND state = 'held'
               AND (SELECT holder FROM relay_lease WHERE name = ?) = ?
             LIMIT ?",
            OUTBOX_LEASE,
            token,
            DUE_PIECE
        )
        .execute(pool)
        .await?;
        due += piece.rows_affected();
        if piece.rows_affected() < u64::from(DUE_PIECE) {
            return Ok(due);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
