//! `effect` as a queue: what is due and claimed. The database clock decides what is due and how long a lease
//! lasts, and [`bring_back`] undoes what it did while it was wrong; the index `tries` serves every statement that does not name
//! its row.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use runtime::telemetry::trace::TraceParent;
use schema::ids::EffectId;
use serde_json::Value;
use sqlx::types::Json;

use super::claim::{Claim, Held, Settled};
use super::micros;
use crate::effect::Effect;

/// An effect that may be claimed.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) effect: Effect,
    /// Whether somebody held it whose lease has ended.
    pub(crate) is_claimed: bool,
}

/// Effects that are due, the longest waiting first: those that were tried before, or those that were not. Locks their rows
/// until the transaction ends and steps over those that another process has locked.
///
/// # Errors
/// Any fault.
pub(crate) async fn due(
    tx: &mut Transaction,
    queue: &str,
    is_retry: bool,
    effects_max: usize,
) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query_as!(
        DueRow,
        r#"SELECT id AS "id: EffectId", subject, kind, body AS "body: Json<Value>", traceparent,
                  created_at AS "created_at: DateTime<Utc>", attempts, put_off, is_unknown AS "is_unknown: bool",
                  claimed_by IS NOT NULL AS "is_claimed!: bool"
           FROM effect
           WHERE queue = ? AND state = 'pending' AND is_retry = ? AND next_attempt_at <= UTC_TIMESTAMP(6)
           ORDER BY next_attempt_at
           LIMIT ?
           FOR UPDATE SKIP LOCKED"#,
        queue,
        is_retry,
        u32::try_from(effects_max).unwrap_or(u32::MAX),
    );
    Ok(rows.fetch_all(&mut *tx).await?.into_iter().map(Due::from).collect())
}

/// Effects that are due and were never tried, the newest first. Locks as [`due`] does.
///
/// # Errors
/// Any fault.
pub(crate) async fn due_newest(tx: &mut Transaction, queue: &str, effects_max: usize) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query_as!(
        DueRow,
        r#"SELECT id AS "id: EffectId", subject, kind, body AS "body: Json<Value>", traceparent,
                  created_at AS "created_at: DateTime<Utc>", attempts, put_off, is_unknown AS "is_unknown: bool",
                  claimed_by IS NOT NULL AS "is_claimed!: bool"
           FROM effect
           WHERE queue = ? AND state = 'pending' AND is_retry = 0 AND next_attempt_at <= UTC_TIMESTAMP(6)
           ORDER BY next_attempt_at DESC
           LIMIT ?
           FOR UPDATE SKIP LOCKED"#,
        queue,
        u32::try_from(effects_max).unwrap_or(u32::MAX),
    );
    Ok(rows.fetch_all(&mut *tx).await?.into_iter().map(Due::from).collect())
}

/// Leases an effect that [`due`] has locked. From here on it may have happened: a process that dies leaves it so.
///
/// # Errors
/// Any fault.
pub(crate) async fn lease(tx: &mut Transaction, id: EffectId, claim: &Claim, lease: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE effect
         SET claimed_by = ?, is_unknown = 1, next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE id = ?",
        claim.0,
        micros(lease),
        id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Ends the claim on an effect that [`due`] has locked and whose lease has ended; nobody else begins for as long as a lease, in
/// which a process that lives takes it back.
///
/// # Errors
/// Any fault.
pub(crate) async fn contest(tx: &mut Transaction, id: EffectId, lease: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE effect
         SET claimed_by = NULL, next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE id = ?",
        micros(lease),
        id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Puts off an effect that [`due`] has locked: its party is passed over for now.
///
/// # Errors
/// Any fault.
pub(crate) async fn pass_over(tx: &mut Transaction, id: EffectId, delay: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE effect
         SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, put_off = GREATEST(put_off, 1),
             last_error = COALESCE(last_error, 'waits: the other side failed at another effect of this party')
         WHERE id = ?",
        micros(delay),
        id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Makes a lease last for `lease` from now, also one that has ended before another process began. Locks its row.
///
/// # Errors
/// Any fault.
pub(crate) async fn prolong(pool: &Pool, held: &Held, lease: Duration) -> sqlx::Result<Settled> {
    let prolonged = sqlx::query!(
        "UPDATE effect
         SET claimed_by = ?, is_unknown = 1, next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE id = ? AND state = 'pending'
           AND (claimed_by = ? OR (claimed_by IS NULL AND attempts = ? AND put_off = ?))",
        held.token,
        micros(lease),
        held.id,
        held.token,
        held.attempts,
        held.put_off,
    )
    .execute(pool)
    .await?;
    Ok(Settled::from_rows(prolonged.rows_affected()))
}

/// Whether the claim stands. Locks nothing.
///
/// # Errors
/// Any fault.
pub(crate) async fn is_held(pool: &Pool, held: &Held) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT attempts FROM effect WHERE id = ? AND state = 'pending' AND claimed_by = ?",
        held.id,
        held.token,
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Has these effects tried at once, if they were put off and nobody holds them. Locks their rows.
///
/// # Errors
/// Any fault.
pub(crate) async fn hasten(pool: &Pool, ids: &[EffectId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list
         STRAIGHT_JOIN effect AS e ON e.id = UNHEX(REPLACE(list.id, '-', ''))
         SET e.next_attempt_at = UTC_TIMESTAMP(6)
         WHERE e.state = 'pending' AND e.put_off > 0 AND e.claimed_by IS NULL",
        Json(ids),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Has effects that were put off, and that nobody holds, tried at once; a thousand at most. Locks their rows.
///
/// # Errors
/// Any fault.
pub(crate) async fn hasten_all(pool: &Pool, queue: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE effect
         SET next_attempt_at = UTC_TIMESTAMP(6)
         WHERE queue = ? AND state = 'pending' AND is_retry = 1 AND next_attempt_at > UTC_TIMESTAMP(6)
           AND put_off > 0 AND claimed_by IS NULL
         LIMIT 1000",
        queue,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Brings back effects that are due later than a queue ever puts one: the database's clock was ahead when that was written. The
/// claim on one that is held ends, as by [`contest`]. Locks those rows and steps over those that another process has locked: one
/// that died with its line may keep some for minutes.
///
/// # Errors
/// Any fault.
pub(crate) async fn bring_back(pool: &Pool, queue: &str, lease: Duration, delay_max: Duration) -> sqlx::Result<u64> {
    let mut brought_back = 0;
    for (is_retry, longest) in [(false, lease), (true, delay_max)] {
        let mut tx = pool.begin().await?;
        let ids = sqlx::query_scalar!(
            r#"SELECT id AS "id: EffectId"
               FROM effect
               WHERE queue = ? AND state = 'pending' AND is_retry = ?
                 AND next_attempt_at > UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
               LIMIT 1000
               FOR UPDATE SKIP LOCKED"#,
            queue,
            is_retry,
            micros(longest),
        );
        let ids = ids.fetch_all(&mut tx).await?;
        if !ids.is_empty() {
            let moved = sqlx::query!(
                "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list
                 STRAIGHT_JOIN effect AS e ON e.id = UNHEX(REPLACE(list.id, '-', ''))
                 SET e.next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL IF(e.claimed_by IS NULL, 0, ?) MICROSECOND,
                     e.claimed_by = NULL",
                Json(&ids),
                micros(lease),
            );
            brought_back += moved.execute(&mut tx).await?.rows_affected();
        }
        tx.commit().await?;
    }
    Ok(brought_back)
}

struct DueRow {
    id: EffectId,
    subject: String,
    kind: String,
    body: Json<Value>,
    traceparent: Option<String>,
    created_at: DateTime<Utc>,
    attempts: u32,
    put_off: u32,
    is_unknown: bool,
    is_claimed: bool,
}

impl From<DueRow> for Due {
    fn from(row: DueRow) -> Self {
        let DueRow {
            id, subject, kind, body: Json(body), created_at, attempts, put_off, is_unknown, is_claimed, ..
        } = row;
        let traceparent = row.traceparent.as_deref().and_then(TraceParent::parse);
        let effect = Effect { id, subject, kind, body, traceparent, created_at, attempts, put_off, is_unknown };
        Self { effect, is_claimed }
    }
}
