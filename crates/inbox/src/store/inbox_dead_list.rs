//! `inbox_dead` as people list it: what nobody has decided about, without the bodies.

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use serde::Serialize;
use sqlx::types::Json;

use super::inbox_dead::DeadId;
use crate::message::Claimed;
use crate::source::Source;

/// Bytes of headers that a list reads; of a message with longer ones it does not say which event it is.
const LISTED_HEADERS_BYTES_MAX: u32 = 4096;

/// A dead message without its body.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLine {
    /// Its id.
    pub id: DeadId,
    /// Its place in the stream.
    pub stream_sequence: u64,
    /// The subject it was published to.
    pub subject: String,
    /// Which event it says it is.
    #[serde(flatten)]
    pub claimed: Claimed,
    /// Why it can't be processed.
    pub reason: String,
    /// When that was found.
    pub dead_at: DateTime<Utc>,
}

/// Which open ones are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Only ids above this one.
    pub after: DeadId,
    /// Only those whose reason has this in it.
    pub reason_part: Option<&'a str>,
    /// At most so many.
    pub lines_max: u32,
}

/// The open ones that are wanted, oldest first. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn list(pool: &Pool, source: &Source, wanted: Wanted<'_>) -> sqlx::Result<Vec<DeadLine>> {
    let rows = sqlx::query!(
        r#"SELECT id, stream_seq, subject, reason, dead_at AS "dead_at: DateTime<Utc>",
                  IF(OCTET_LENGTH(headers) <= ?, headers, '[]') AS "headers!: Json<Vec<(String, String)>>"
           FROM inbox_dead
           WHERE consumer = ? AND resolution IS NULL AND id > ? AND (? IS NULL OR LOCATE(?, reason) > 0)
           ORDER BY id
           LIMIT ?"#,
        LISTED_HEADERS_BYTES_MAX,
        source.consumer,
        wanted.after,
        wanted.reason_part,
        wanted.reason_part,
        wanted.lines_max,
    )
    .fetch_all(pool)
    .await?;
    let lines = rows.into_iter().map(|row| DeadLine {
        id: row.id,
        stream_sequence: row.stream_seq,
        subject: row.subject,
        claimed: Claimed::by(&row.headers.0),
        reason: row.reason,
        dead_at: row.dead_at,
    });
    Ok(lines.collect())
}
