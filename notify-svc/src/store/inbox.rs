//! `inbox`: which events have had their effect.

use schema::names;
use sqlx::{MySql, Transaction};

use super::Receipt;
use crate::event::Event;

/// Records an event in the transaction of its effect. Locks the event's key until the transaction ends: another
/// process with the same event waits here, then learns that it is a duplicate.
///
/// # Errors
/// Any fault but a taken key.
pub async fn record(tx: &mut Transaction<'_, MySql>, event: &Event, stream_sequence: u64) -> sqlx::Result<Receipt> {
    let envelope = &event.envelope;
    let inserted = sqlx::query!(
        "INSERT INTO inbox (consumer, event_id, event_type, aggregate_type, aggregate_id, aggregate_version,
                            payload_sha256, stream_seq)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        names::NOTIFY_DURABLE,
        envelope.event_id,
        envelope.event_type,
        envelope.aggregate_type,
        envelope.aggregate_id,
        envelope.aggregate_version.map(|version| version.get()),
        event.payload_sha256.as_slice(),
        stream_sequence,
    )
    .execute(&mut **tx)
    .await;
    Receipt::of(inserted)
}
