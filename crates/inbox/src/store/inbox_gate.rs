//! `inbox_gate`: the last version of each aggregate whose effect is committed, or that was given up; 0 if there is none, but
//! later ones are parked. Its row's lock is the lock of the aggregate: of its effects and of its rows in `inbox_parked`.

use runtime::mysql::Transaction;
use schema::aggregate::AggregateId;
use serde::Serialize;
use sqlx::types::Json;

use super::Receipt;
use crate::source::Source;

/// One gate that a whole batch moves: from a version to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The aggregate.
    pub aggregate_id: AggregateId,
    /// Where it stands; none if there is no gate yet, and so nothing parked behind it.
    pub from: Option<u32>,
    /// Where it shall stand.
    pub to: u32,
}

/// A row, in the order of the columns of the statements below.
#[derive(Serialize)]
struct Row(AggregateId, u32, u32);

/// Opens the gates of new aggregates; none of them if one is open already. Locks their keys in order.
///
/// # Errors
/// Any fault but a taken key.
pub async fn open_all(tx: &mut Transaction, source: &Source, moves: &[Move]) -> sqlx::Result<Receipt> {
    let inserted = sqlx::query!(
        "INSERT INTO inbox_gate (consumer, aggregate_type, aggregate_id, version, updated_at)
         SELECT ?, ?, aggregate_id, version, UTC_TIMESTAMP(6)
         FROM JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id VARCHAR(64)  PATH '$[0]',
                                            version      INT UNSIGNED PATH '$[2]')) AS list",
        source.consumer,
        source.aggregate_type,
        Json(rows(moves)),
    )
    .execute(&mut *tx)
    .await;
    Receipt::of(inserted)
}

/// Moves the gates that stand where they are believed to, and says how many did. Locks the rows in order.
///
/// # Errors
/// Any fault.
pub async fn advance_all(tx: &mut Transaction, source: &Source, moves: &[Move]) -> sqlx::Result<u64> {
    let moved = sqlx::query!(
        // The list first and each gate by its key: a scan would wait for every aggregate that anybody has locked.
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id VARCHAR(64) CHARACTER SET ascii PATH '$[0]',
                                              stands_at    INT UNSIGNED                    PATH '$[1]',
                                              version      INT UNSIGNED                    PATH '$[2]')) AS list
         STRAIGHT_JOIN inbox_gate FORCE INDEX (PRIMARY)
              ON inbox_gate.consumer = ? AND inbox_gate.aggregate_type = ?
                 AND inbox_gate.aggregate_id = list.aggregate_id AND inbox_gate.version = list.stands_at
         SET inbox_gate.version = list.version, inbox_gate.updated_at = UTC_TIMESTAMP(6)",
        Json(rows(moves)),
        source.consumer,
        source.aggregate_type,
    )
    .execute(&mut *tx)
    .await?;
    Ok(moved.rows_affected())
}

/// Locks the gates of these aggregates, in order; those that are not there are made, at version 0.
///
/// # Errors
/// Any fault.
pub async fn hold_all(tx: &mut Transaction, source: &Source, aggregates: &[AggregateId]) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO inbox_gate (consumer, aggregate_type, aggregate_id, version, updated_at)
         SELECT ?, ?, list.aggregate_id, 0, UTC_TIMESTAMP(6)
         FROM JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id VARCHAR(64) CHARACTER SET ascii PATH '$')) AS list
         ON DUPLICATE KEY UPDATE inbox_gate.version = inbox_gate.version",
        source.consumer,
        source.aggregate_type,
        Json(ids(aggregates)),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Locks the gate of an aggregate and says where it stands; it is made, at version 0, if it is not there.
///
/// # Errors
/// Any fault.
pub async fn hold(tx: &mut Transaction, source: &Source, aggregate_id: AggregateId) -> sqlx::Result<u32> {
    hold_all(tx, source, &[aggregate_id]).await?;
    let found = versions(&mut *tx, source, &[aggregate_id]).await?;
    found.first().map(|(_, version)| *version).ok_or(sqlx::Error::RowNotFound)
}

/// Where the gates of these aggregates stand; those that are not there are left out. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn versions(
    executor: impl sqlx::MySqlExecutor<'_>,
    source: &Source,
    aggregates: &[AggregateId],
) -> sqlx::Result<Vec<(AggregateId, u32)>> {
    let rows = sqlx::query!(
        r#"SELECT inbox_gate.aggregate_id AS "aggregate_id: AggregateId", inbox_gate.version
           FROM JSON_TABLE(?, '$[*]' COLUMNS (aggregate_id VARCHAR(64) CHARACTER SET ascii PATH '$')) AS list
           JOIN inbox_gate ON inbox_gate.consumer = ? AND inbox_gate.aggregate_type = ?
                          AND inbox_gate.aggregate_id = list.aggregate_id"#,
        Json(ids(aggregates)),
        source.consumer,
        source.aggregate_type,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.aggregate_id, row.version)).collect())
}

/// Sorted, so that replicas lock in the same order.
fn ids(aggregates: &[AggregateId]) -> Vec<AggregateId> {
    let mut ids = aggregates.to_vec();
    ids.sort_unstable();
    ids
}

/// Sorted, too.
fn rows(moves: &[Move]) -> Vec<Row> {
    let mut rows: Vec<_> =
        moves.iter().map(|step| Row(step.aggregate_id, step.from.unwrap_or_default(), step.to)).collect();
    rows.sort_unstable_by_key(|row| row.0);
    rows
}
