//! The stream: created with the properties that the promises rest on, if it is not there.
//!
//! `discard: new` makes a full stream push back into the outbox instead of dropping unread events; deny_delete and
//! deny_purge keep people from making holes by hand. An existing stream is left as it is; one that vanished is made again,
//! and [`crate::heal`] has it filled.

use async_nats::Client;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, context::CreateStreamError, context::GetStreamErrorKind};

use crate::config::StreamConfig;
use crate::subject::Pattern;

/// The connection that a relay keeps whether it is active or not; nothing is published by it. Only if the broker answers on it
/// is a standby of use to relieve a relay that can't publish.
#[derive(Clone, Debug)]
pub struct Reach {
    client: Client,
    stream: String,
}

impl Reach {
    /// Asks through this connection for the stream of this name.
    pub fn new(client: Client, stream: String) -> Self {
        Self { client, stream }
    }

    /// Whether JetStream answers, also if it is that there is no such stream: the active relay makes it.
    pub async fn answers(&self) -> bool {
        match jetstream::new(self.client.clone()).get_stream(&self.stream).await {
            Ok(_) => true,
            Err(error) => matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.code() == 404),
        }
    }
}

/// Makes sure that the stream exists.
#[derive(Clone, Debug)]
pub struct StreamMaker {
    client: Client,
    config: StreamConfig,
}

impl StreamMaker {
    /// Nothing happens yet.
    pub fn new(client: Client, config: StreamConfig) -> Self {
        Self { client, config }
    }

    /// Creates the stream if the broker has none of its name.
    ///
    /// # Errors
    /// If the broker is away or refuses; worth another try.
    pub async fn ensure(&self) -> Result<(), CreateStreamError> {
        ensure(&self.client, &self.config).await
    }
}

async fn ensure(client: &Client, config: &StreamConfig) -> Result<(), CreateStreamError> {
    let stream = jetstream::new(client.clone()).get_or_create_stream(wanted(config)).await?;
    let info = stream.cached_info();
    tracing::info!(
        stream = config.name,
        created_at = %info.created,
        messages = info.state.messages,
        replicas = info.config.num_replicas,
        allows_atomic = info.config.allow_atomic_publish,
        "stream is there"
    );
    Ok(())
}

/// What this relay makes, and what [`crate::operate::preflight`] holds a stream against.
pub fn wanted(config: &StreamConfig) -> Config {
    Config {
        name: config.name.clone(),
        subjects: config.subjects.iter().map(Pattern::as_str).map(str::to_owned).collect(),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        num_replicas: config.replicas.into(),
        max_age: config.max_age,
        duplicate_window: config.dedup_window,
        deny_delete: true,
        deny_purge: true,
        allow_atomic_publish: true,
        ..Config::default()
    }
}
