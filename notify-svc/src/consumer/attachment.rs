//! Getting hold of the stream and of the durable consumer on it.
//!
//! The relay makes the stream; until then, there is nothing to attach to. The consumer is made here, as the settings
//! say: an existing one is updated to them, or the broker refuses and says why.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use schema::names;
use tokio::time::timeout;

use super::faults::Fault;

/// Messages delivered and not answered, over all replicas: four whole batches of the largest size, and room for
/// events that wait for their elders.
const ACK_PENDING_MAX: i64 = 4096;

/// The first connection, or a reconnect, is given this long before the broker counts as unreachable.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(1);

/// How the durable consumer is set up and pulled.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long the broker waits for an answer.
    pub ack_wait: Duration,
    /// Messages in one pull, and in one transaction.
    pub batch_size_max: u16,
}

/// Finds the stream and makes or updates the consumer.
pub(super) async fn attach(client: &Client, settings: &Settings) -> Result<PullConsumer, Fault> {
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
    stream.create_consumer(config(settings)).await.map_err(|error| {
        tracing::warn!(%error, "making the consumer failed");
        Fault::ConsumerRefused
    })
}

fn config(settings: &Settings) -> Config {
    Config {
        durable_name: Some(names::NOTIFY_DURABLE.to_owned()),
        description: Some("one effect for each order event".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: settings.ack_wait,
        max_ack_pending: ACK_PENDING_MAX,
        // What can't be processed is termed by us, with a row in inbox_dead; the broker must never give up silently.
        max_deliver: -1,
        ..Config::default()
    }
}
