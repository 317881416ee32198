//! An inbox that runs: the consumer, what applies parked events, the timers and the gauges.

use std::sync::Arc;

use prometheus::Registry;
use runtime::lifecycle::Lifecycle;
use runtime::mysql;
use runtime::nats::Client;
use runtime::readiness::{Latch, Readiness, Weight};
use tokio_util::sync::CancellationToken;

use crate::config::InboxConfig;
use crate::consumer::{Consumer, Monitor};
use crate::handler::Handler;
use crate::housekeeping::Housekeeping;
use crate::metrics::Metrics;
use crate::process::{Inbox, Limit, Process};
use crate::resuming::Resuming;

/// An inbox with all that it needs to run.
#[derive(Debug)]
pub struct Running<H> {
    process: Process<H>,
    config: InboxConfig,
    client: Client,
    monitor: Monitor,
    metrics: Metrics,
}

impl<H: Handler> Running<H> {
    /// Registers its metrics; nothing runs yet.
    ///
    /// # Errors
    /// If the metrics of this consumer are registered already.
    pub fn new(inbox: Inbox<H>, config: InboxConfig, client: Client, registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Metrics::register(registry, &inbox.source.consumer)?;
        let monitor = Monitor::new(client.clone(), Arc::clone(&inbox.source));
        let limit = Arc::new(Limit::new(usize::from(config.batch_size_max)));
        let process = Process { inbox, attempts_max: config.deliveries_max, limit, tally: Arc::default() };
        Ok(Self { process, config, client, monitor, metrics })
    }

    /// What can be told about it while it runs.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// What it counts.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Runs it as parts of the process, until the stop. The process is ready once the database has answered and the stream
    /// was there, and tells what keeps events from having their effect.
    pub fn spawn(self, parts: &mut Lifecycle, readiness: &Readiness, shutdown: &CancellationToken) {
        let latches = [readiness.latch("database"), readiness.latch("stream")];
        self.spawn_with(latches.map(Some), parts, readiness, shutdown);
    }

    /// As [`Running::spawn`], for a service that does its work without these events: it is ready without database and stream,
    /// as far as they are concerned.
    pub fn spawn_aside(self, parts: &mut Lifecycle, readiness: &Readiness, shutdown: &CancellationToken) {
        self.spawn_with([None, None], parts, readiness, shutdown);
    }

    fn spawn_with(
        self,
        [database, stream]: [Option<Latch>; 2],
        parts: &mut Lifecycle,
        readiness: &Readiness,
        shutdown: &CancellationToken,
    ) {
        let Self { process, config, client, monitor, metrics } = self;
        readiness.report(Weight::Told, monitor.troubles());
        let resuming = Resuming { process: process.clone(), metrics: metrics.clone(), shutdown: shutdown.clone() };
        let housekeeping = Housekeeping {
            pool: process.inbox.pool.clone(),
            source: Arc::clone(&process.inbox.source),
            monitor: monitor.clone(),
            metrics: metrics.clone(),
            inbox_retention: config.inbox_retention,
            outbox_retention: config.outbox_retention,
            shutdown: shutdown.clone(),
        };
        let consumer = Consumer {
            client,
            process,
            settings: config.settings(),
            monitor: monitor.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        };
        parts.spawn("consumer", consume(consumer, database, stream));
        parts.spawn("parked", resuming.run());
        parts.spawn("inbox", housekeeping.run());
        parts.spawn("gauges", monitor.sample(metrics, shutdown.clone()));
    }
}

/// Consumes once the database has answered.
async fn consume<H: Handler>(
    consumer: Consumer<H>,
    database: Option<Latch>,
    stream: Option<Latch>,
) -> anyhow::Result<()> {
    match mysql::wait_until_up(&consumer.process.inbox.pool, &consumer.shutdown).await {
        Ok(()) => database.into_iter().for_each(Latch::set),
        Err(_) if consumer.shutdown.is_cancelled() => return Ok(()),
        Err(error) => return Err(error),
    }
    Box::pin(consumer.run(stream)).await;
    Ok(())
}
