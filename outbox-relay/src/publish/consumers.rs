//! How far the stream's consumers have come.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Config};
use futures::TryStreamExt;
use schema::sequence::StreamSeq;

use super::{Outage, Publisher};

/// Nobody publishes meanwhile, and a missing right is answered by silence.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

impl Publisher {
    /// Up to which sequence every durable consumer has acknowledged what the stream gave it, where that ended with `last`;
    /// none if there is no durable consumer. What an ephemeral one reads is promised to nobody.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn read_up_to(&self, last: StreamSeq) -> Result<Option<StreamSeq>, Outage> {
        let asking = async {
            let stream = self.context.get_stream_no_info(&self.stream).await.map_err(|error| error.to_string())?;
            let consumers = stream.consumers().try_collect::<Vec<_>>().await.map_err(|error| error.to_string())?;
            let durable = consumers.iter().filter(|consumer| consumer.config.durable_name.is_some());
            let floors = durable.map(|consumer| match consumer.config.ack_policy {
                _ if is_filtered(&consumer.config) && consumer.num_pending == 0 && consumer.num_ack_pending == 0 => {
                    last
                }
                AckPolicy::None => StreamSeq(consumer.delivered.stream_sequence),
                _ => StreamSeq(consumer.ack_floor.stream_sequence),
            });
            Ok::<_, String>(floors.min())
        };
        let away = |reason: String| Outage(format!("asking how far the consumers have come: {reason}"));
        let answered = tokio::time::timeout(ANSWERS_WITHIN, asking).await;
        answered.map_err(|_| away("no answer in time".to_owned()))?.map_err(away)
    }
}

/// What it is not to have does not move its floor.
fn is_filtered(config: &Config) -> bool {
    !config.filter_subject.is_empty() || !config.filter_subjects.is_empty()
}
