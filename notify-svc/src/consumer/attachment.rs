//! Getting hold of the stream and of the durable consumer on it.
//!
//! The relay makes the stream; until then, there is nothing to attach to. The consumer is made here, as the settings
//! say. One that is not as it has to be is set right, or replaced by one that begins after the last message that was read: what
//! is left out by that, or was by anybody, the position knows, and `history` reads it.

use std::ops::RangeInclusive;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, ErrorCode, consumer};
use runtime::mysql::Pool;
use schema::names;
use tokio::time::timeout;
use uuid::Uuid;

use super::durable;
use super::examination::{self, Examined, Repair};
use super::faults::Fault;

/// The first connection, or a reconnect, is given this long before the broker counts as unreachable.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(1);

/// How the durable consumer is set up and pulled.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long the broker waits for an answer.
    pub ack_wait: Duration,
    /// Messages in one pull, and in one transaction.
    pub batch_size_max: u16,
    /// Messages delivered and not answered, over all replicas.
    pub ack_pending_max: u32,
}

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
pub(super) async fn attach(client: &Client, pool: &Pool, settings: &Settings) -> Result<Attached, Fault> {
    // A request would wait in the client's buffer until it times out; a flush waits for a connection, and no longer.
    if timeout(CONNECTION_PATIENCE, client.flush()).await.is_err() || client.connection_state() != State::Connected {
        return Err(Fault::BrokerUnreachable);
    }
    let stream = jetstream::new(client.clone()).get_stream(names::STREAM).await.map_err(|error| {
        tracing::debug!(%error, "looking up the stream failed");
        match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Fault::StreamMissing
            }
            _ => Fault::BrokerUnreachable,
        }
    })?;
    let examined = examination::examine(client, &stream, pool, settings).await?;
    let is_first = examined.coverage.is_untouched();
    let repair = examined.repair.filter(|repair| !(is_first && *repair == Repair::ConsumerGone));
    let consumer = match (examined.repair, &examined.consumer) {
        (None | Some(Repair::EffectsGone), Some(info)) => updated(&stream, settings, &examined, info).await,
        (Some(Repair::ConsumerAltered), Some(info)) => match updated(&stream, settings, &examined, info).await {
            Some(consumer) => Some(consumer),
            None => replaced(&stream, settings, &examined).await,
        },
        _ => replaced(&stream, settings, &examined).await,
    };
    let consumer = consumer.ok_or(Fault::ConsumerRefused)?;
    let lost = examined.lost_by(consumer.cached_info());
    let reading = examined.coverage.position.reading;
    Ok(Attached { stream, consumer, reading, repair, lost })
}

/// Applies our settings to an existing consumer, as far as the broker lets them be applied.
async fn updated(
    stream: &Stream,
    settings: &Settings,
    examined: &Examined,
    info: &consumer::Info,
) -> Option<PullConsumer> {
    let config = durable::config(settings, examined.coverage.position.reading, info.config.deliver_policy);
    let consumer = made(stream, config).await?;
    durable::differences(&consumer.cached_info().config, settings).is_empty().then_some(consumer)
}

/// One that begins after what was read.
async fn replaced(stream: &Stream, settings: &Settings, examined: &Examined) -> Option<PullConsumer> {
    if examined.consumer.is_some()
        && let Err(error) = stream.delete_consumer(names::NOTIFY_DURABLE).await
    {
        tracing::debug!(%error, "deleting the consumer failed; another replica may have done it, or it is gone");
    }
    let coverage = &examined.coverage;
    made(stream, durable::config(settings, coverage.position.reading, durable::from(coverage.start()))).await
}

async fn made(stream: &Stream, config: pull::Config) -> Option<PullConsumer> {
    let mut consumer = stream.create_consumer(config).await.map_err(|error| {
        tracing::warn!(%error, "broker refuses the consumer's settings; unless another replica was quicker, it is replaced");
    });
    // The answer to an update tells the state of before.
    if let Ok(consumer) = &mut consumer
        && let Err(error) = consumer.info().await
    {
        tracing::debug!(%error, "looking up the consumer failed");
        return None;
    }
    consumer.ok()
}
