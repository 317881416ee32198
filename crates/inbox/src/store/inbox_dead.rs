//! `inbox_dead`: messages that can't be processed, whole, until a person decides about them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::aggregate::AggregateId;
use schema::envelope;
use sha2::{Digest, Sha256};
use sqlx::types::Json;

use super::kept::cut;
use super::{Receipt, kept};
use crate::message::Message;
use crate::source::Source;

const REASON_CHARS_MAX: usize = 1000;
/// Bytes of a message that fit into a packet whatever the server's settings are worth.
const ALWAYS_FITS: usize = 128 * 1024;
/// Bytes of the statement that keeps a message, without its body and headers.
const STATEMENT_BYTES: usize = 16 * 1024;
/// JSON may need six bytes for one of a header.
const HEADERS_SHARE: usize = 16;

/// Where counting stops.
pub const COUNT_MAX: u32 = 10_000;

/// Names a dead message.
pub type DeadId = u64;

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was processed after all.
    Requeued,
    /// It never will be.
    Discarded,
}

/// A dead message that nobody has decided about.
#[derive(Clone, Debug)]
pub struct Open {
    /// The message; its deliveries are not kept.
    pub message: Message,
    /// Whether it is only the beginning of what came.
    pub is_cut: bool,
}

/// A dead message, and what was decided.
#[derive(Clone, Debug)]
pub struct Dead {
    /// The message; its deliveries are not kept.
    pub message: Message,
    /// Why it can't be processed.
    pub reason: String,
    /// When that was found.
    pub dead_at: DateTime<Utc>,
    /// `requeued`, `discarded`, or none while it is open.
    pub resolution: Option<String>,
    /// Why it was discarded.
    pub note: Option<String>,
    /// Length and SHA-256 of the whole body, if the row has only its beginning.
    pub whole: Option<(u64, Vec<u8>)>,
}

/// Keeps a message with the reason why it can't be processed, cut if the server takes no packet of its size. A
/// redelivery of it is a duplicate; one that was requeued, and failed since, is open again. Locks the message's key until
/// the transaction ends.
///
/// # Errors
/// Any fault but a taken key.
pub async fn keep(tx: &mut Transaction, source: &Source, message: &Message, reason: &str) -> sqlx::Result<Receipt> {
    let room = room(tx, message).await?;
    let (subject, headers) = kept::subject_and_headers(message);
    let is_cut = message.bytes() > room;
    let headers = if is_cut { kept::cut_headers(headers, room / HEADERS_SHARE) } else { headers };
    let length = if is_cut { message.payload.len().min(room / 2) } else { message.payload.len() };
    let payload = &message.payload[..length];
    let inserted = sqlx::query!(
        "INSERT INTO inbox_dead (consumer, stream_seq, stored_at, subject, headers, payload, reason, payload_bytes,
                                 payload_sha256)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        source.consumer,
        message.stream_sequence,
        message.stored_at,
        subject,
        Json(headers),
        payload,
        cut(reason, REASON_CHARS_MAX),
        is_cut.then_some(message.payload.len() as u64),
        is_cut.then(|| Sha256::digest(&message.payload).to_vec()),
    )
    .execute(&mut *tx)
    .await;
    match Receipt::of(inserted)? {
        Receipt::First => Ok(Receipt::First),
        Receipt::Duplicate => reopen(tx, source, message, reason).await,
    }
}

/// Opens a message again that was requeued, and says whether it had been.
async fn reopen(tx: &mut Transaction, source: &Source, message: &Message, reason: &str) -> sqlx::Result<Receipt> {
    let opened = sqlx::query!(
        "UPDATE inbox_dead
         SET resolution = NULL, resolved_at = NULL, reason = ?
         WHERE consumer = ? AND stream_seq = ? AND stored_at = ? AND resolution = 'requeued'",
        cut(reason, REASON_CHARS_MAX),
        source.consumer,
        message.stream_sequence,
        message.stored_at,
    )
    .execute(&mut *tx)
    .await?;
    Ok(if opened.rows_affected() > 0 { Receipt::First } else { Receipt::Duplicate })
}

/// Whether the server takes no packet of the size that this message needs. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn is_too_large(tx: &mut Transaction, message: &Message) -> sqlx::Result<bool> {
    Ok(message.bytes() > room(tx, message).await?)
}

/// Bytes of a message that fit into one statement. The server is asked only about a message that might not.
async fn room(tx: &mut Transaction, message: &Message) -> sqlx::Result<usize> {
    if message.bytes() <= ALWAYS_FITS {
        return Ok(ALWAYS_FITS);
    }
    let packet = sqlx::query_scalar!(r#"SELECT CAST(@@max_allowed_packet AS UNSIGNED) AS "bytes!: u64""#)
        .fetch_one(&mut *tx)
        .await?;
    Ok(usize::try_from(packet).unwrap_or(usize::MAX).saturating_sub(STATEMENT_BYTES))
}

/// The message of an id that nobody has decided about. Locks its row until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn open(tx: &mut Transaction, source: &Source, id: DeadId) -> sqlx::Result<Option<Open>> {
    let row = sqlx::query!(
        r#"SELECT stream_seq, stored_at AS "stored_at: DateTime<Utc>", subject,
                  headers AS "headers: Json<Vec<(String, String)>>", payload, payload_bytes
           FROM inbox_dead
           WHERE id = ? AND consumer = ? AND resolution IS NULL
           FOR UPDATE"#,
        id,
        source.consumer,
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(row.map(|row| Open {
        message: kept::message((row.stream_seq, row.stored_at), row.subject, row.headers.0, row.payload),
        is_cut: row.payload_bytes.is_some(),
    }))
}

/// The open ones about an aggregate, as their headers say. Reads all that are open; locks nothing.
///
/// # Errors
/// Any fault.
pub async fn open_of(
    tx: &mut Transaction,
    source: &Source,
    aggregate_id: AggregateId,
) -> sqlx::Result<Vec<(DeadId, Message)>> {
    let subject = envelope::encode(aggregate_id.as_str());
    let rows = sqlx::query!(
        r#"SELECT id, stream_seq, stored_at AS "stored_at: DateTime<Utc>", subject,
                  headers AS "headers: Json<Vec<(String, String)>>", payload
           FROM inbox_dead
           WHERE consumer = ? AND resolution IS NULL AND JSON_CONTAINS(headers, JSON_ARRAY(JSON_ARRAY(?, ?)))
           ORDER BY id"#,
        source.consumer,
        envelope::SUBJECT,
        subject.as_ref(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let dead = rows
        .into_iter()
        .map(|row| (row.id, kept::message((row.stream_seq, row.stored_at), row.subject, row.headers.0, row.payload)));
    Ok(dead.collect())
}

/// Writes a decision about a message that [`open`] has locked.
///
/// # Errors
/// Any fault.
pub async fn resolve(tx: &mut Transaction, id: DeadId, resolution: Resolution, note: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE inbox_dead
         SET resolution = ?, resolved_at = UTC_TIMESTAMP(6), note = ?
         WHERE id = ? AND resolution IS NULL",
        resolution.as_str(),
        note.map(|note| cut(note, REASON_CHARS_MAX)),
        id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// One of them, whole. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn show(pool: &Pool, source: &Source, id: DeadId) -> sqlx::Result<Option<Dead>> {
    let row = sqlx::query!(
        r#"SELECT stream_seq, stored_at AS "stored_at: DateTime<Utc>", subject,
                  headers AS "headers: Json<Vec<(String, String)>>", payload, reason,
                  dead_at AS "dead_at: DateTime<Utc>", resolution, note, payload_bytes, payload_sha256 AS "payload_sha256: Vec<u8>"
           FROM inbox_dead
           WHERE id = ? AND consumer = ?"#,
        id,
        source.consumer,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Dead {
        message: kept::message((row.stream_seq, row.stored_at), row.subject, row.headers.0, row.payload),
        reason: row.reason,
        dead_at: row.dead_at,
        resolution: row.resolution,
        note: row.note,
        whole: row.payload_bytes.zip(row.payload_sha256),
    }))
}

/// How many are open, counted up to [`COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count(pool: &Pool, source: &Source) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "messages!: i64"
           FROM (SELECT 1 FROM inbox_dead WHERE consumer = ? AND resolution IS NULL LIMIT ?) AS counted"#,
        source.consumer,
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// Deletes messages that somebody decided about so long ago, the oldest first, by the index `resolved`; one that was opened again
/// meanwhile stays. Locks those rows.
///
/// # Errors
/// Any fault.
pub async fn purge(pool: &Pool, source: &Source, age_min: Duration, rows_max: u32) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE d
         FROM (SELECT id
               FROM inbox_dead FORCE INDEX (resolved)
               WHERE consumer = ? AND resolved_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
               ORDER BY resolved_at
               LIMIT ?) AS old
         STRAIGHT_JOIN inbox_dead AS d ON d.id = old.id
         WHERE d.resolution IS NOT NULL",
        source.consumer,
        age_min.as_secs(),
        rows_max,
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

impl Resolution {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requeued => "requeued",
            Self::Discarded => "discarded",
        }
    }
}
