//! Publishes events again that are in the stream, or were: for a new consumer, or after one lost its effects.
//!
//! Guarantees that each is stored, under a dedup id that only this run has, and that those of one aggregate keep their
//! order. `ce-id` stays the event id, so a consumer with an inbox sees a duplicate. The outbox is not changed. A run that
//! broke off can be done again under its own id: what it had stored within the dedup window is not stored twice.

mod publisher;

use std::collections::HashMap;

use uuid::Uuid;

use crate::store::outbox_replay::ReplayRow;

pub use publisher::Replayer;

/// Groups rows by aggregate, keeping the order within each.
fn by_aggregate(rows: Vec<ReplayRow>) -> Vec<Vec<ReplayRow>> {
    let mut groups: HashMap<(String, Uuid), Vec<ReplayRow>> = HashMap::new();
    for row in rows {
        groups.entry((row.aggregate_type.clone(), row.aggregate_id)).or_default().push(row);
    }
    groups.into_values().collect()
}
