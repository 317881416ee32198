//! `inbox_skipped`: versions that never came and that a person gave up. A record for people; nothing is decided by it.

use runtime::mysql::Transaction;
use schema::names;

use super::inbox_gate::Move;

const REASON_CHARS_MAX: usize = 1000;

/// Records what a move of a gate has passed without an effect.
///
/// # Errors
/// Any fault.
pub async fn record(tx: &mut Transaction, step: Move, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO inbox_skipped (consumer, aggregate_type, aggregate_id, from_version, to_version, reason)
         VALUES (?, ?, ?, ?, ?, ?)",
        names::NOTIFY_DURABLE,
        names::ORDER,
        step.aggregate_id,
        step.from + 1,
        step.to,
        reason.chars().take(REASON_CHARS_MAX).collect::<String>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
