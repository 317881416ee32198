//! The way to the broker: a connection of its own from one attach to the next, and who speaks by it.
//!
//! It is made when the relay became active and dropped when the tenure ends or the broker is away, so that nothing that a
//! client has queued is delivered much later. What sockets and networks held by then the broker refuses: see
//! [`crate::publish`].

use std::time::Duration;

use runtime::config::Misconfigured;
use runtime::mysql::Pool;
use runtime::nats::{self, NatsConfig};

use crate::config::PublishPath;
use crate::config::StreamConfig;
use crate::heal::{Acks, LossMetrics, Watch, Watcher};
use crate::metrics::{Metrics, Publish};
use crate::publish::{Outage, Publisher};
use crate::stream::StreamMaker;
use crate::terms::Terms;

/// How an outage without a connection begins, for people.
pub const NOT_CONNECTED: &str = "not connected to NATS";

/// Makes lines.
#[derive(Clone, Debug)]
pub struct Lines {
    pub nats: NatsConfig,
    pub stream: StreamConfig,
    pub path: PublishPath,
    pub publish_timeout: Duration,
    pub metrics: Metrics,
    pub pool: Pool,
    pub acks: Acks,
    pub losses: LossMetrics,
    pub terms: Terms,
    pub watch_interval: Duration,
    pub proof_horizon: Duration,
    /// `ce-source` of the events.
    pub source: String,
}

/// A line, from one attach to the next.
#[derive(Debug)]
pub struct Line {
    pub stream: StreamMaker,
    pub publisher: Publisher,
    pub watcher: Watcher,
    pub watch: Watch,
}

impl Lines {
    /// Connects; nothing is asked yet.
    ///
    /// # Errors
    /// If no server takes the connection.
    pub async fn connect(&self) -> Result<Line, Outage> {
        let away = |reason: String| {
            self.metrics.published(Publish::NoConnection, 1);
            Outage(format!("{NOT_CONNECTED}: {reason}"))
        };
        let client = tokio::time::timeout(self.publish_timeout, nats::connect_once("outbox-relay", &self.nats)).await;
        let client = client.map_err(|late| away(late.to_string()))?.map_err(|error| away(format!("{error:#}")))?;
        let name = self.stream.name.clone();
        let publisher = Publisher::new(client.clone(), name, self.path, self.publish_timeout, self.metrics.clone())
            .noting(self.terms.clone());
        let watcher = Watcher {
            pool: self.pool.clone(),
            publisher: publisher.clone(),
            acks: self.acks.clone(),
            metrics: self.losses.clone(),
            source: self.source.clone(),
            interval: self.watch_interval,
            horizon: self.proof_horizon,
        };
        Ok(Line { stream: StreamMaker::new(client, self.stream.clone()), publisher, watcher, watch: Watch::default() })
    }

    /// Refuses a stream of another name than before, so that none is made.
    ///
    /// # Errors
    /// If there was another.
    pub async fn admit(&self) -> Result<(), Misconfigured> {
        Watcher::admit(&self.pool, &self.stream.name).await
    }

    /// This relay is not the active one any more.
    pub fn stand_by(&self) {
        self.acks.forget();
    }
}
