//! `inbox_gate`: the last version of each aggregate whose effect is committed, or that was discarded.

use std::num::NonZeroU32;

use runtime::mysql::{Pool, Transaction};
use schema::names;
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;
use uuid::fmt::Simple;

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
pub async fn open(tx: &mut Transaction, step: Step<'_>) -> sqlx::Result<Receipt> {
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
pub async fn advance(tx: &mut Transaction, step: Step<'_>) -> sqlx::Result<bool> {
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
pub async fn version(tx: &mut Transaction, step: Step<'_>) -> sqlx::Result<Option<u32>> {
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

/// One gate that a whole batch moves: from a version to a later one, 0 being a gate that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The order.
    pub aggregate_id: Uuid,
    /// Where it stands.
    pub from: u32,
    /// Where it shall stand.
    pub to: u32,
}

/// A row, in the order of the columns of the statements below.
#[derive(Serialize)]
struct Row(Simple, u32, u32);

/// Opens the gates of new orders; none of them if one is open already. Locks their keys in order.
///
/// # Errors
/// Any fault but a taken key.
pub async fn open_all(tx: &mut Transaction, moves: &[Move]) -> sqlx::Result<Receipt> {
    let inserted = sqlx::query!(
        "INSERT INTO inbox_gate (consumer, aggregate_type, aggregate_id, version, updated_at)
         SELECT ?, ?, UNHEX(aggregate_id), version, UTC_TIMESTAMP(6)
         FROM JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id CHAR(32)     PATH '$[0]',
                                            version      INT UNSIGNED PATH '$[2]')) AS list",
        names::NOTIFY_DURABLE,
        names::ORDER,
        Json(rows(moves)),
    )
    .execute(&mut **tx)
    .await;
    Receipt::of(inserted)
}

/// Moves the gates that stand where they are believed to, and says how many did. Locks the rows in order.
///
/// # Errors
/// Any fault.
pub async fn advance_all(tx: &mut Transaction, moves: &[Move]) -> sqlx::Result<u64> {
    let moved = sqlx::query!(
        "UPDATE inbox_gate
         JOIN JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id CHAR(32)     PATH '$[0]',
                                            stands_at    INT UNSIGNED PATH '$[1]',
                                            version      INT UNSIGNED PATH '$[2]')) AS list
              ON inbox_gate.aggregate_id = UNHEX(list.aggregate_id) AND inbox_gate.version = list.stands_at
         SET inbox_gate.version = list.version, inbox_gate.updated_at = UTC_TIMESTAMP(6)
         WHERE inbox_gate.consumer = ? AND inbox_gate.aggregate_type = ?",
        Json(rows(moves)),
        names::NOTIFY_DURABLE,
        names::ORDER,
    )
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected())
}

/// Where the gates of these orders stand; those that are not open are left out. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn versions(pool: &Pool, orders: &[Uuid]) -> sqlx::Result<Vec<(Uuid, u32)>> {
    let ids: Vec<Simple> = orders.iter().map(|id| id.simple()).collect();
    let rows = sqlx::query!(
        r#"SELECT inbox_gate.aggregate_id AS "aggregate_id: Uuid", inbox_gate.version
           FROM JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id CHAR(32) PATH '$')) AS list
           JOIN inbox_gate ON inbox_gate.consumer = ? AND inbox_gate.aggregate_type = ?
                          AND inbox_gate.aggregate_id = UNHEX(list.aggregate_id)"#,
        Json(ids),
        names::NOTIFY_DURABLE,
        names::ORDER,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.aggregate_id, row.version)).collect())
}

/// Sorted, so that replicas lock in the same order.
fn rows(moves: &[Move]) -> Vec<Row> {
    let mut rows: Vec<_> = moves.iter().map(|step| Row(step.aggregate_id.simple(), step.from, step.to)).collect();
    rows.sort_unstable_by_key(|row| row.0.into_uuid());
    rows
}
