//! Getting hold of the stream and of the durable consumer on it.
//!
//! The relay makes the stream; until then, there is nothing to attach to. The consumer is made here, as the settings
//! say: an existing one is updated to them, or the broker refuses and says why. One that does not fit its stream any more is
//! made again from the first message: `history` knows the signs, and the inbox makes a full re-read harmless.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, ErrorCode};
use schema::names;
use tokio::time::timeout;

use super::faults::Fault;
use super::history::{self, History, Repair, STREAM_CREATED};

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

/// The consumer, and why it had to be made again, if it had.
pub(super) struct Attached {
    pub(super) stream: Stream,
    pub(super) consumer: PullConsumer,
    pub(super) repair: Option<Repair>,
}

/// Finds the stream and makes, updates or repairs the consumer.
pub(super) async fn attach(client: &Client, settings: &Settings, history: &History) -> Result<Attached, Fault> {
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
    let repair = history.diagnose(&stream).await?;
    if let Some(repair) = repair {
        tracing::warn!(
            reason = repair.label(),
            "{}; the consumer starts over from the first message",
            repair.describe()
        );
        if repair != Repair::ConsumerGone
            && let Err(error) = stream.delete_consumer(names::NOTIFY_DURABLE).await
        {
            tracing::debug!(%error, "deleting the consumer failed; another replica may have done it, or it is gone");
        }
    }
    let created = history::created(stream.cached_info().created);
    let consumer = stream.create_consumer(config(settings, created)).await.map_err(|error| {
        tracing::error!(%error, "broker refuses the consumer's settings; delete the consumer to have it made anew");
        Fault::ConsumerRefused
    })?;
    // The answer to an update gives its own time as that of the consumer's creation.
    let info = stream.consumer_info(names::NOTIFY_DURABLE).await.map_err(|error| {
        tracing::debug!(%error, "looking up the consumer failed");
        Fault::BrokerUnreachable
    })?;
    history.attached(&stream, &info);
    Ok(Attached { stream, consumer, repair })
}

fn config(settings: &Settings, stream_created: String) -> Config {
    Config {
        durable_name: Some(names::NOTIFY_DURABLE.to_owned()),
        description: Some("one effect for each order event".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: settings.ack_wait,
        max_ack_pending: i64::from(settings.ack_pending_max),
        // What can't be processed is termed by us, with a row in inbox_dead; the broker must never give up silently.
        max_deliver: -1,
        metadata: [(STREAM_CREATED.to_owned(), stream_created)].into(),
        ..Config::default()
    }
}
