//! `inbox_dead`: messages that can't be processed, whole, for a person to look at.

use schema::names;
use sqlx::types::Json;
use sqlx::{MySql, Transaction};

use super::Receipt;
use crate::message::Message;

const SUBJECT_CHARS_MAX: usize = 255;
const REASON_CHARS_MAX: usize = 1000;

/// Keeps a message with the reason why it can't be processed. A redelivery of it is a duplicate. Locks the message's
/// key until the transaction ends.
///
/// # Errors
/// Any fault but a taken key.
pub async fn keep(tx: &mut Transaction<'_, MySql>, message: &Message, reason: &str) -> sqlx::Result<Receipt> {
    let subject = cut(&message.subject, SUBJECT_CHARS_MAX);
    let mut headers = message.headers.clone();
    if subject != message.subject {
        headers.push(("whole-subject".to_owned(), message.subject.clone()));
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

/// The first characters of a text; a column's limit counts characters.
fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
