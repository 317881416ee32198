//! Getting hold of the stream and of the durable consumer on it.
//!
//! The relay makes the stream; until then, there is nothing to attach to. The consumer is made here, as the settings
//! say. One that is not as it has to be is repaired, or replaced by one that begins after the last message that was read: what
//! is left out by that, or was by anybody, the position knows, and `history` reads it.

use std::ops::RangeInclusive;

use async_nats::jetstream::consumer::{self, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use uuid::Uuid;

use super::durable;
use super::examination::{Examined, Examiner};
use super::faults::Fault;
use crate::repair::Repair;

/// The consumer, and why it had to be repaired, if it had.
pub(super) struct Attached {
    pub(super) stream: Stream,
    pub(super) consumer: PullConsumer,
    /// Under which all that it brings is noted.
    pub(super) reading: Uuid,
    pub(super) repair: Option<Repair>,
    /// What it will not bring and was not read.
    pub(super) lost: Vec<RangeInclusive<u64>>,
}

/// Finds the stream and makes, updates or repairs the consumer.
pub(super) async fn attach(examiner: &mut Examiner<'_>) -> Result<Attached, Fault> {
    let examined = examiner.examine().await?;
    let stream = &examined.stream;
    let is_first = examined.coverage.is_untouched();
    let repair = examined.repair.filter(|repair| !(is_first && *repair == Repair::ConsumerGone));
    let consumer = match (examined.repair, &examined.consumer) {
        (None | Some(Repair::EffectsGone), Some(info)) => updated(stream, examiner, &examined, info).await,
        (Some(Repair::ConsumerAltered), Some(info)) => match updated(stream, examiner, &examined, info).await {
            Some(consumer) => Some(consumer),
            None => replaced(stream, examiner, &examined).await,
        },
        _ => replaced(stream, examiner, &examined).await,
    };
    let consumer = consumer.ok_or(Fault::ConsumerRefused)?;
    let lost = examined.lost_by(consumer.cached_info(), examiner).await?;
    let reading = examined.coverage.position.reading;
    Ok(Attached { stream: examined.stream, consumer, reading, repair, lost })
}

/// Applies our settings to an existing consumer, as far as the broker lets them be applied.
async fn updated(
    stream: &Stream,
    examiner: &Examiner<'_>,
    examined: &Examined,
    info: &consumer::Info,
) -> Option<PullConsumer> {
    let config = durable::config(
        examiner.source,
        examiner.settings,
        examined.coverage.position.reading,
        info.config.deliver_policy,
    );
    let consumer = made(stream, config).await?;
    durable::differences(&consumer.cached_info().config, examiner.source, examiner.settings)
        .is_empty()
        .then_some(consumer)
}

/// One that begins after what was read.
async fn replaced(stream: &Stream, examiner: &Examiner<'_>, examined: &Examined) -> Option<PullConsumer> {
    if examined.consumer.is_some()
        && let Err(error) = stream.delete_consumer(&examiner.source.consumer).await
    {
        tracing::debug!(%error, "deleting the consumer failed; another replica may have done it, or it is gone");
    }
    let coverage = &examined.coverage;
    let start = durable::from(coverage.start());
    made(stream, durable::config(examiner.source, examiner.settings, coverage.position.reading, start)).await
}

async fn made(stream: &Stream, config: pull::Config) -> Option<PullConsumer> {
    let mut consumer = stream.create_consumer(config).await.map_err(|error| {
        tracing::warn!(%error, "broker refuses the consumer's settings; unless another replica was quicker, it is replaced");
    });
    // The answer to an update has the state of before.
    if let Ok(consumer) = &mut consumer
        && let Err(error) = consumer.info().await
    {
        tracing::debug!(%error, "asking for the consumer failed");
        return None;
    }
    consumer.ok()
}
