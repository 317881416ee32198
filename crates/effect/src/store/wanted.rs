//! `effect` as its service writes it: what is enqueued and taken back, in the service's own transaction.

use runtime::mysql::{Receipt, Transaction};
use runtime::telemetry::trace::TraceParent;
use schema::ids::EffectId;
use serde::Serialize;
use sqlx::types::Json;
use uuid::fmt::Simple;

use super::cut;
use crate::effect::{New, Withdrawal};

/// A row, in the order of the columns of [`enqueue_all`].
#[derive(Serialize)]
struct Row<'a>(Simple, &'a str, &'static str, String, Option<&'a str>);

impl<'a> Row<'a> {
    fn of(new: &'a New) -> Self {
        let traceparent = new.traceparent.as_ref().map(TraceParent::as_str);
        Self(new.id.0.simple(), &new.subject, new.kind, new.body.to_string(), traceparent)
    }
}

/// Enqueues an effect in the transaction that wants it. [`Receipt::Duplicate`] says that its id is there already. Locks its row.
///
/// # Errors
/// As the database has it.
pub async fn enqueue(tx: &mut Transaction, queue: &str, new: &New) -> sqlx::Result<Receipt> {
    enqueue_all(tx, queue, std::slice::from_ref(new)).await
}

/// As [`enqueue`], many effects: all of them, or none if one of the ids is taken.
///
/// # Errors
/// As the database has it.
pub async fn enqueue_all(tx: &mut Transaction, queue: &str, new: &[New]) -> sqlx::Result<Receipt> {
    let rows: Vec<_> = new.iter().map(Row::of).collect();
    let inserted = sqlx::query!(
        "INSERT INTO effect (id, queue, subject, kind, body, traceparent)
         SELECT UNHEX(list.id), ?, list.subject, list.kind, list.body, list.traceparent
         FROM JSON_TABLE(?, '$[*]' COLUMNS (id          CHAR(32)                       PATH '$[0]',
                                            subject     VARCHAR(64)                    PATH '$[1]',
                                            kind        VARCHAR(64)                    PATH '$[2]',
                                            body        LONGTEXT CHARACTER SET utf8mb4 PATH '$[3]',
                                            traceparent VARCHAR(55)                    PATH '$[4]')) AS list",
        queue,
        Json(rows),
    );
    Receipt::of(inserted.execute(&mut *tx).await)
}

/// Takes an effect back that has not happened and is not happening, tried before or not; `reason` is kept with it. Locks its row:
/// the transaction's other locks come first, as those of a conclusion do.
///
/// # Errors
/// As the database has it.
pub async fn withdraw(tx: &mut Transaction, id: EffectId, reason: &str) -> sqlx::Result<Withdrawal> {
    take_back(tx, id, Some(reason), |found| found.is_unknown).await
}

/// Ends an effect of which a person knows what became of it, whether or not it may have happened: it is never performed again.
/// Not if a process performs it: [`Withdrawal::MayHappen`]. Locks its row; the transaction's other locks come first.
///
/// # Errors
/// As the database has it.
pub async fn end(tx: &mut Transaction, id: EffectId) -> sqlx::Result<Withdrawal> {
    take_back(tx, id, None, |found| found.is_under_way).await
}

/// An effect that has not ended well.
struct Open {
    /// Whether it may have happened, or may be happening.
    is_unknown: bool,
    /// Whether a process performs it.
    is_under_way: bool,
}

async fn take_back(
    tx: &mut Transaction,
    id: EffectId,
    reason: Option<&str>,
    may_happen: impl FnOnce(&Open) -> bool,
) -> sqlx::Result<Withdrawal> {
    let found = sqlx::query_as!(
        Open,
        r#"SELECT is_unknown AS "is_unknown: bool", state = 'pending' AND claimed_by IS NOT NULL AS "is_under_way!: bool"
           FROM effect
           WHERE id = ? AND state IN ('pending', 'dead', 'discarded')
           FOR UPDATE"#,
        id,
    );
    // One that ended long ago may have been purged.
    let Some(found) = found.fetch_optional(&mut *tx).await? else { return Ok(Withdrawal::Ended) };
    if may_happen(&found) {
        return Ok(Withdrawal::MayHappen);
    }
    sqlx::query!(
        "UPDATE effect
         SET state = 'withdrawn', ended_at = UTC_TIMESTAMP(6), last_error = COALESCE(?, last_error)
         WHERE id = ?",
        reason.map(cut),
        id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(Withdrawal::Withdrawn)
}
