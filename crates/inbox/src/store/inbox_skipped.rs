//! `inbox_skipped`: versions that never came and that a person gave up.

use runtime::mysql::Transaction;
use schema::aggregate::AggregateId;

use super::inbox_gate::Move;
use crate::source::Source;

const REASON_CHARS_MAX: usize = 1000;

/// Records what a move of a gate has passed without an effect.
///
/// # Errors
/// Any fault.
pub async fn record(tx: &mut Transaction, source: &Source, step: Move, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO inbox_skipped (consumer, aggregate_type, aggregate_id, from_version, to_version, reason)
         VALUES (?, ?, ?, ?, ?, ?)",
        source.consumer,
        source.aggregate_type,
        step.aggregate_id,
        step.from.unwrap_or_default() + 1,
        step.to,
        reason.chars().take(REASON_CHARS_MAX).collect::<String>(),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Whether a version of an aggregate was given up. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn covers(tx: &mut Transaction, source: &Source, order_id: AggregateId, version: u32) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT id
         FROM inbox_skipped
         WHERE aggregate_id = ? AND to_version >= ? AND from_version <= ? AND consumer = ? AND aggregate_type = ?
         LIMIT 1",
        order_id,
        version,
        version,
        source.consumer,
        source.aggregate_type,
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(found.is_some())
}
