//! Publishes events again that are in the stream, or were: for a new consumer, or after one lost its effects.
//!
//! Guarantees that each is stored, under a dedup id that only this run has, and that those of one aggregate keep their
//! order. `ce-id` stays the event id, so a consumer with an inbox sees a duplicate. The outbox is not changed. A run that
//! broke off can be done again under its own id: what it had stored within the dedup window is not stored twice.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::{self, message::PublishMessage};
use async_nats::{Client, HeaderMap};
use futures::{StreamExt, TryStreamExt, stream};
use schema::aggregate::AggregateId;
use schema::envelope::{Envelope, own_header};
use schema::ids::EventId;
use schema::names::{MSG_ID_HEADER, TOMBSTONE, TOMBSTONE_HEADER};

use crate::store::outbox_replay::ReplayRow;

/// Aggregates in flight at once.
const IN_FLIGHT_MAX: usize = 64;
/// How many times as long as some events took, a replay rests before the next: see [`Replayer::publish`].
const REST: u32 = 2;
/// As long as a relay takes for a batch, about.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_millis(500);

/// What stopped a replay.
#[derive(Debug, thiserror::Error)]
#[error("publishing event {event_id} to {subject}")]
pub struct ReplayError {
    event_id: EventId,
    subject: String,
    #[source]
    cause: PublishError,
}

/// Publishes the events of one run.
#[derive(Debug)]
pub struct Replayer {
    pub context: jetstream::Context,
    /// `ce-source` of the events.
    pub source: String,
    /// Where to, if not to each event's own subject.
    pub subject: Option<String>,
    /// The end of the dedup ids.
    pub run: String,
}

impl Replayer {
    /// Publishes through this connection.
    pub fn new(client: Client, source: String, subject: Option<String>, run: String) -> Self {
        Self { context: jetstream::new(client), source, subject, run }
    }

    /// Publishes events, waits until the stream has them, and rests.
    ///
    /// # Errors
    /// The first that the stream did not take; of its aggregate none that follows was published.
    pub async fn publish(&self, rows: Vec<ReplayRow>) -> Result<(), ReplayError> {
        let begin = Instant::now();
        self.publish_all(rows).await?;
        // The relay publishes only where the stream ends as it expects: it gets time in which the stream stands still.
        tokio::time::sleep((begin.elapsed() * REST).clamp(REST_MIN, REST_MAX)).await;
        Ok(())
    }

    async fn publish_all(&self, rows: Vec<ReplayRow>) -> Result<(), ReplayError> {
        stream::iter(by_aggregate(rows))
            .map(|events| async move {
                for row in events {
                    self.publish_one(row).await?;
                }
                Ok(())
            })
            .buffer_unordered(IN_FLIGHT_MAX)
            .try_collect()
            .await
    }

    async fn publish_one(&self, row: ReplayRow) -> Result<(), ReplayError> {
        let subject = self.subject.clone().unwrap_or_else(|| row.subject.clone());
        let headers = self.headers(&row);
        let message = PublishMessage::build().payload(row.payload.get().to_owned().into()).headers(headers);
        let answer = match self.context.send_publish(subject.clone(), message).await {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        answer.map(drop).map_err(|cause| ReplayError { event_id: EventId(row.event_id), subject, cause })
    }

    fn headers(&self, row: &ReplayRow) -> HeaderMap {
        let envelope = Envelope {
            event_id: EventId(row.event_id),
            source: self.source.clone(),
            event_type: row.event_type.clone(),
            aggregate_type: row.aggregate_type.clone(),
            aggregate_id: row.aggregate_id,
            aggregate_version: row.aggregate_version.and_then(NonZeroU32::new),
            occurred_at: row.occurred_at,
        };
        let mut headers = HeaderMap::new();
        headers.insert(MSG_ID_HEADER, format!("{}.r{}", row.event_id, self.run));
        for (name, value) in envelope.headers() {
            headers.insert(name, value);
        }
        // Checked when they were published first.
        for (name, value) in row.headers.iter().flat_map(|headers| headers.0.iter().flatten()) {
            headers.insert(name.as_str(), own_header(name, value).as_ref());
        }
        if row.is_tombstone {
            headers.insert(TOMBSTONE_HEADER, TOMBSTONE);
        }
        headers
    }
}

/// Groups rows by aggregate, keeping the order within each.
fn by_aggregate(rows: Vec<ReplayRow>) -> Vec<Vec<ReplayRow>> {
    let mut groups: HashMap<(String, AggregateId), Vec<ReplayRow>> = HashMap::new();
    for row in rows {
        groups.entry((row.aggregate_type.clone(), row.aggregate_id)).or_default().push(row);
    }
    groups.into_values().collect()
}
