//! `inbox_dead`: messages that can't be processed, whole, for a person to look at and to decide about.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use schema::names;
use sqlx::types::Json;
use uuid::Uuid;

use super::Receipt;
use crate::message::Message;

const SUBJECT_CHARS_MAX: usize = 255;
const REASON_CHARS_MAX: usize = 1000;
const WHOLE_SUBJECT: &str = "whole-subject";

/// Where counting stops.
pub const COUNT_MAX: u32 = 100_000;

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

/// A dead message without its headers and body.
#[derive(Clone, Debug)]
pub struct DeadLine {
    /// Its id.
    pub id: DeadId,
    /// Its place in the stream.
    pub stream_sequence: u64,
    /// The subject it was published to.
    pub subject: String,
    /// Why it can't be processed.
    pub reason: String,
    /// When that was found.
    pub dead_at: DateTime<Utc>,
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
}

/// Keeps a message with the reason why it can't be processed. A redelivery of it is a duplicate. Locks the message's
/// key until the transaction ends.
///
/// # Errors
/// Any fault but a taken key.
pub async fn keep(tx: &mut Transaction, message: &Message, reason: &str) -> sqlx::Result<Receipt> {
    let subject = cut(&message.subject, SUBJECT_CHARS_MAX);
    let mut headers = message.headers.clone();
    if subject != message.subject {
        headers.push((WHOLE_SUBJECT.to_owned(), message.subject.clone()));
    }
    let inserted = sqlx::query!(
        "INSERT INTO inbox_dead (consumer, stream_seq, stored_at, subject, headers, payload, reason)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        names::NOTIFY_DURABLE,
        message.stream_sequence,
        message.stored_at,
        subject,
        Json(headers),
        message.payload.as_ref(),
        cut(reason, REASON_CHARS_MAX),
    )
    .execute(&mut **tx)
    .await;
    Receipt::of(inserted)
}

/// The message of an id that nobody has decided about. Locks its row until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn open(tx: &mut Transaction, id: DeadId) -> sqlx::Result<Option<Message>> {
    let row = sqlx::query!(
        r#"SELECT stream_seq, stored_at AS "stored_at: DateTime<Utc>", subject,
                  headers AS "headers: Json<Vec<(String, String)>>", payload
           FROM inbox_dead
           WHERE id = ? AND consumer = ? AND resolution IS NULL
           FOR UPDATE"#,
        id,
        names::NOTIFY_DURABLE,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| message(row.stream_seq, row.stored_at, row.subject, row.headers.0, row.payload)))
}

/// The open ones that name an order in a header. Reads all that are open; locks nothing.
///
/// # Errors
/// Any fault.
pub async fn open_of(tx: &mut Transaction, order_id: Uuid) -> sqlx::Result<Vec<(DeadId, Message)>> {
    let rows = sqlx::query!(
        r#"SELECT id, stream_seq, stored_at AS "stored_at: DateTime<Utc>", subject,
                  headers AS "headers: Json<Vec<(String, String)>>", payload
           FROM inbox_dead
           WHERE consumer = ? AND resolution IS NULL AND JSON_SEARCH(headers, 'one', ?) IS NOT NULL
           ORDER BY id"#,
        names::NOTIFY_DURABLE,
        order_id.hyphenated().to_string(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let dead = rows
        .into_iter()
        .map(|row| (row.id, message(row.stream_seq, row.stored_at, row.subject, row.headers.0, row.payload)));
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
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The open ones above an id, oldest first. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn list(pool: &Pool, after: DeadId, lines_max: u32) -> sqlx::Result<Vec<DeadLine>> {
    sqlx::query_as!(
        DeadLine,
        r#"SELECT id, stream_seq AS stream_sequence, subject, reason, dead_at AS "dead_at: DateTime<Utc>"
           FROM inbox_dead
           WHERE consumer = ? AND resolution IS NULL AND id > ?
           ORDER BY id
           LIMIT ?"#,
        names::NOTIFY_DURABLE,
        after,
        lines_max,
    )
    .fetch_all(pool)
    .await
}

/// One of them, whole. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn show(pool: &Pool, id: DeadId) -> sqlx::Result<Option<Dead>> {
    let row = sqlx::query!(
        r#"SELECT stream_seq, stored_at AS "stored_at: DateTime<Utc>", subject,
                  headers AS "headers: Json<Vec<(String, String)>>", payload, reason,
                  dead_at AS "dead_at: DateTime<Utc>", resolution, note
           FROM inbox_dead
           WHERE id = ? AND consumer = ?"#,
        id,
        names::NOTIFY_DURABLE,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Dead {
        message: message(row.stream_seq, row.stored_at, row.subject, row.headers.0, row.payload),
        reason: row.reason,
        dead_at: row.dead_at,
        resolution: row.resolution,
        note: row.note,
    }))
}

/// How many are open, counted up to [`COUNT_MAX`]. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "messages!: i64"
           FROM (SELECT 1 FROM inbox_dead WHERE resolution IS NULL LIMIT ?) AS counted"#,
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

impl Resolution {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requeued => "requeued",
            Self::Discarded => "discarded",
        }
    }
}

fn message(
    stream_sequence: u64,
    stored_at: DateTime<Utc>,
    subject: String,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
) -> Message {
    let whole = headers.iter().find(|(name, _)| name == WHOLE_SUBJECT).map(|(_, subject)| subject.clone());
    let subject = whole.unwrap_or(subject);
    Message { subject, headers, payload: Bytes::from(payload), stream_sequence, stored_at, deliveries: 0 }
}

/// The first characters of a text; a column's limit counts characters.
fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
