//! `inbox_read`: runs of messages that were read above the floor of `inbox_position`.

use runtime::mysql::Transaction;
use schema::ids::EventId;
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::source::Source;

/// Rows that are joined at once.
pub const ROWS_MAX: u32 = 10_000;

/// What identifies a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When the broker stored it, in nanoseconds since 1970.
    pub stored_ns: i64,
    /// Its `ce-id`, or its `Nats-Msg-Id`.
    pub id: String,
    /// The event that has a row in `inbox` for it, if it has one.
    pub event_id: Option<EventId>,
}

/// Messages that were read, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// What stands at the last; none if the stream has dropped it.
    pub mark: Option<Mark>,
}

/// A run and the key of its row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The key.
    pub id: u64,
    /// The run.
    pub run: Run,
}

/// Adds runs, in the transaction of their effects. Waits for nobody.
///
/// # Errors
/// Any fault.
pub async fn add(tx: &mut Transaction, source: &Source, reading: Uuid, runs: &[Run]) -> sqlx::Result<()> {
    let rows: Vec<_> = runs.iter().map(NewRow::of).collect();
    sqlx::query!(
        "INSERT INTO inbox_read (consumer, reading, from_seq, to_seq, mark_stored_ns, mark_id, mark_event_id)
         SELECT ?, ?, from_seq, to_seq, mark_stored_ns, mark_id, UNHEX(mark_event_id)
         FROM JSON_TABLE(?, '$[*]' COLUMNS (from_seq       BIGINT UNSIGNED PATH '$[0]',
                                            to_seq         BIGINT UNSIGNED PATH '$[1]',
                                            mark_stored_ns BIGINT          PATH '$[2]',
                                            mark_id        VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[3]',
                                            mark_event_id  CHAR(32)        PATH '$[4]')) AS list",
        source.consumer,
        reading,
        Json(rows),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The lowest runs of a reading. Locks nothing; the row of `inbox_position` is locked by whoever joins them.
///
/// # Errors
/// Any fault.
pub async fn lowest(tx: &mut Transaction, source: &Source, reading: Uuid) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query!(
        r#"SELECT id, from_seq, to_seq, mark_stored_ns, mark_id, mark_event_id AS "mark_event_id: EventId"
           FROM inbox_read
           WHERE consumer = ? AND reading = ?
           ORDER BY from_seq
           LIMIT ?"#,
        source.consumer,
        reading,
        ROWS_MAX,
    )
    .fetch_all(&mut *tx)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let mark = row.mark_stored_ns.zip(row.mark_id);
        let mark = mark.map(|(stored_ns, id)| Mark { stored_ns, id, event_id: row.mark_event_id });
        Row { id: row.id, run: Run { from: row.from_seq, to: row.to_seq, mark } }
    });
    Ok(rows.collect())
}

/// Deletes rows of a reading. Each by its key: a scan would wait for whatever batch is under way.
///
/// # Errors
/// Any fault.
pub async fn delete(tx: &mut Transaction, source: &Source, reading: Uuid, ids: &[u64]) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE r
         FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) AS list
         STRAIGHT_JOIN inbox_read AS r FORCE INDEX (PRIMARY) ON r.id = list.id
         WHERE r.consumer = ? AND r.reading = ?",
        Json(ids),
        source.consumer,
        reading,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The other readings of which rows are left. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn others(tx: &mut Transaction, source: &Source, reading: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT reading AS "reading: Uuid"
           FROM inbox_read
           WHERE consumer = ? AND reading <> ?"#,
        source.consumer,
        reading,
    )
    .fetch_all(&mut *tx)
    .await
}

/// In the order of the columns of [`add`].
#[derive(Serialize)]
struct NewRow<'a>(u64, u64, Option<i64>, Option<&'a str>, Option<uuid::fmt::Simple>);

impl<'a> NewRow<'a> {
    fn of(run: &'a Run) -> Self {
        let mark = run.mark.as_ref();
        let event_id = mark.and_then(|mark| mark.event_id).map(|id| id.0.simple());
        Self(run.from, run.to, mark.map(|mark| mark.stored_ns), mark.map(|mark| mark.id.as_str()), event_id)
    }
}
