//! `inbox_gate`: the last version of each aggregate whose effect is committed.

use std::num::NonZeroU32;

use schema::names;
use sqlx::{MySql, Transaction};
use uuid::Uuid;

use super::Receipt;

/// An aggregate, and the version that wants to pass.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// For example `order`.
    pub aggregate_type: &'a str,
    /// Its id.
    pub aggregate_id: Uuid,
    /// The version of the event at hand.
    pub version: NonZeroU32,
}

/// Opens the gate of a new aggregate at version 1; a duplicate if it is open already. Locks the aggregate's key until
/// the transaction ends.
///
/// # Errors
/// Any fault but a taken key.
pub async fn open(tx: &mut Transaction<'_, MySql>, step: Step<'_>) -> sqlx::Result<Receipt> {
    let inserted = sqlx::query!(
        "INSERT INTO inbox_gate (consumer, aggregate_type, aggregate_id, version, updated_at)
         VALUES (?, ?, ?, ?, UTC_TIMESTAMP(6))",
        names::NOTIFY_DURABLE,
        step.aggregate_type,
        step.aggregate_id,
        step.version.get(),
    )
    .execute(&mut **tx)
    .await;
    Receipt::of(inserted)
}

/// Moves the gate on if it stands at the version before, and says whether it did. Locks the aggregate's row, if there
/// is one, until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn advance(tx: &mut Transaction<'_, MySql>, step: Step<'_>) -> sqlx::Result<bool> {
    let moved = sqlx::query!(
        "UPDATE inbox_gate
         SET version = ?, updated_at = UTC_TIMESTAMP(6)
         WHERE consumer = ? AND aggregate_type = ? AND aggregate_id = ? AND version = ?",
        step.version.get(),
        names::NOTIFY_DURABLE,
        step.aggregate_type,
        step.aggregate_id,
        step.version.get() - 1,
    )
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Where the gate stands; none if no version of the aggregate has had its effect. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn version(tx: &mut Transaction<'_, MySql>, step: Step<'_>) -> sqlx::Result<Option<u32>> {
    sqlx::query_scalar!(
        "SELECT version
         FROM inbox_gate
         WHERE consumer = ? AND aggregate_type = ? AND aggregate_id = ?",
        names::NOTIFY_DURABLE,
        step.aggregate_type,
        step.aggregate_id,
    )
    .fetch_optional(&mut **tx)
    .await
}
