//! `effect` as a queue: what is enqueued, taken back and claimed. The database clock decides what is due and how long a lease
//! lasts, and [`bring_back`] undoes what it did while it was wrong; the index `tries` serves every statement that does not name
//! its row.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Receipt, Transaction};
use schema::ids::EffectId;
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::micros;
use crate::effect::{Effect, New, Withdrawal};

/// Who holds effects: one value for each claim, so that a process that lost its lease can't conclude for its successor.
#[derive(Clone, Debug)]
pub(crate) struct Claim(pub(super) String);

impl Claim {
    /// A claim that nobody else makes.
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }
}

/// Enqueues an effect in the transaction that wants it. [`Receipt::Duplicate`] says that its id is there already. Locks its row.
///
/// # Errors
/// As the database has it.
pub async fn enqueue(tx: &mut Transaction, queue: &str, new: &New) -> sqlx::Result<Receipt> {
    let inserted = sqlx::query!(
        "INSERT INTO effect (id, queue, subject, kind, body)
         VALUES (?, ?, ?, ?, ?)",
        new.id,
        queue,
        new.subject,
        new.kind,
        Json(&new.body),
    );
    Receipt::of(inserted.execute(&mut **tx).await)
}

/// Takes an effect back that has not happened and is not happening, tried before or not. Locks its row: the transaction's
/// other locks come first, as those of a conclusion do.
///
/// # Errors
/// As the database has it; `RowNotFound` if there is no such effect.
pub async fn withdraw(tx: &mut Transaction, id: EffectId) -> sqlx::Result<Withdrawal> {
    let found =
        sqlx::query!(r#"SELECT state, is_unknown AS "is_unknown: bool" FROM effect WHERE id = ? FOR UPDATE"#, id,);
    let found = found.fetch_one(&mut **tx).await?;
    match found.state.as_str() {
        "pending" | "dead" | "discarded" if found.is_unknown => return Ok(Withdrawal::MayHappen),
        "pending" | "dead" | "discarded" => {}
        _ => return Ok(Withdrawal::Ended),
    }
    sqlx::query!("UPDATE effect SET state = 'withdrawn', ended_at = UTC_TIMESTAMP(6) WHERE id = ?", id)
        .execute(&mut **tx)
        .await?;
    Ok(Withdrawal::Withdrawn)
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
) -> sqlx::Result<Vec<Effect>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: EffectId", subject, kind, body AS "body: Json<Value>",
                  created_at AS "created_at: DateTime<Utc>", attempts, put_off, is_unknown AS "is_unknown: bool"
           FROM effect
           WHERE queue = ? AND state = 'pending' AND is_retry = ? AND next_attempt_at <= UTC_TIMESTAMP(6)
           ORDER BY next_attempt_at
           LIMIT ?
           FOR UPDATE SKIP LOCKED"#,
        queue,
        is_retry,
        u32::try_from(effects_max).unwrap_or(u32::MAX),
    );
    let rows = rows.fetch_all(&mut **tx).await?;
    let effects = rows.into_iter().map(|row| Effect {
        id: row.id,
        subject: row.subject,
        kind: row.kind,
        body: row.body.0,
        created_at: row.created_at,
        attempts: row.attempts,
        put_off: row.put_off,
        is_unknown: row.is_unknown,
    });
    Ok(effects.collect())
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
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Leaves an effect that [`due`] has locked to whoever holds it, for as long as a lease: the database's clock has stepped ahead
/// while it is performed.
///
/// # Errors
/// Any fault.
pub(crate) async fn prolong(tx: &mut Transaction, id: EffectId, lease: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE effect SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id = ?",
        micros(lease),
        id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has effects that were put off, and that nobody holds, tried at once; a thousand at most. Locks their rows.
///
/// # Errors
/// Any fault.
pub(crate) async fn hasten(pool: &Pool, queue: &str) -> sqlx::Result<()> {
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

/// Brings back effects that are due later than `longest`, which is later than a queue ever puts one: the database's clock was
/// ahead when that was written. One that is held is left to its holder for as long as a lease. Locks those rows.
///
/// # Errors
/// Any fault.
pub(crate) async fn bring_back(pool: &Pool, queue: &str, lease: Duration, longest: Duration) -> sqlx::Result<()> {
    for is_retry in [false, true] {
        sqlx::query!(
            "UPDATE effect
             SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL IF(claimed_by IS NULL, 0, ?) MICROSECOND
             WHERE queue = ? AND state = 'pending' AND is_retry = ?
               AND next_attempt_at > UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
             LIMIT 1000",
            micros(lease),
            queue,
            is_retry,
            micros(longest),
        )
        .execute(pool)
        .await?;
    }
    Ok(())
}
