//! Settings of the relay. The doc comments are the text of `--help`.

use std::num::NonZeroU32;
use std::time::Duration;

use runtime::config::{ProcessConfig, Validate, duration};
use runtime::mysql::DatabaseConfig;
use runtime::nats::NatsConfig;

use crate::subject::{self, Pattern};

/// Settings of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunConfig {
    #[command(flatten)]
    pub process: ProcessConfig,
    #[command(flatten)]
    pub database: DatabaseConfig,
    #[command(flatten)]
    pub nats: NatsConfig,
    #[command(flatten)]
    pub stream: StreamConfig,

    /// Core-NATS subject of the writers' wake hints, such as outbox.wake.orders. Without hints the poll finds everything.
    #[arg(long, env = "WAKE_SUBJECT", value_parser = wake_subject)]
    pub wake_subject: String,

    /// `ce-source` of the published events: a URI reference, such as /web-store/orders.
    #[arg(long, env = "EVENT_SOURCE", value_parser = header_text)]
    pub event_source: String,

    /// How long a relay that died or hangs keeps the others waiting.
    #[arg(long, env = "LEASE_TIME", default_value = "3s", value_parser = duration)]
    pub lease_time: Duration,

    /// How often to read the outbox without a wake hint.
    #[arg(long, env = "POLL_INTERVAL", default_value = "500ms", value_parser = duration)]
    pub poll_interval: Duration,

    /// Events claimed and settled at once; the broker gets them in atomic batches of at most 1000.
    #[arg(long, env = "BATCH_SIZE_MAX", default_value = "4000")]
    pub batch_size_max: NonZeroU32,

    /// How long the broker may take to acknowledge an event before it counts as away.
    #[arg(long, env = "PUBLISH_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub publish_timeout: Duration,

    /// auto publishes many events as one atomic batch where server and stream allow it; careful never does.
    #[arg(long, env = "PUBLISH_PATH", value_enum, default_value = "auto")]
    pub publish_path: PublishPath,

    /// Failed attempts by an event's own fault after which it is dead. An outage spends none.
    #[arg(long, env = "ATTEMPTS_MAX", default_value = "10")]
    pub attempts_max: NonZeroU32,

    /// How long published events are kept, and longer until they are proven to be in the stream; 0s keeps them for ever.
    #[arg(long, env = "RETENTION", default_value = "7d", value_parser = duration)]
    pub retention: Duration,

    /// How long a discarded event is kept as it was, and longer until its tombstone is purged; 0s keeps it for ever.
    #[arg(long, env = "DISCARDED_RETENTION", default_value = "90d", value_parser = duration)]
    pub discarded_retention: Duration,

    /// How long a published event must have stood in the stream to be proven, without which it is never deleted. Above the
    /// broker's sync_interval (2m unless configured): what a PubAck stands for is on disk only then.
    #[arg(long, env = "PROOF_HORIZON", default_value = "150s", value_parser = duration)]
    pub proof_horizon: Duration,

    /// How often to check whether the stream lost what it had acknowledged.
    #[arg(long, env = "WATCH_INTERVAL", default_value = "5s", value_parser = duration)]
    pub watch_interval: Duration,

    /// Refuse to run if the preflight finds an error or a warning; see `outbox-relay stream check`.
    #[arg(long, env = "STRICT")]
    pub strict: bool,
}

/// How events are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PublishPath {
    /// Many events as one atomic batch where stream and server allow it, else careful.
    Auto,
    /// Always one by one.
    Careful,
}

/// The stream that the events go to.
#[derive(Clone, Debug, clap::Args)]
pub struct StreamConfig {
    /// Name of the stream. Another one than before is refused: see `outbox-relay stream forget`.
    #[arg(long = "stream", env = "STREAM", value_name = "STREAM", value_parser = stream_name)]
    pub name: String,

    /// Subjects of the stream when the relay makes it, such as order.>, separated by commas. What a stream that is there takes is up to the stream; an event for another subject waits.
    #[arg(long = "stream-subjects", env = "STREAM_SUBJECTS", value_name = "STREAM_SUBJECTS", required = true, value_delimiter = ',', value_parser = subject::pattern)]
    pub subjects: Vec<Pattern>,

    /// Copies of each message in a cluster: 1, 3 or 5.
    #[arg(long = "stream-replicas", env = "STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,

    /// How long the stream recognises an event that is published again. Every id in it costs the broker memory.
    #[arg(long = "dedup-window", env = "DEDUP_WINDOW", default_value = "2m", value_parser = duration)]
    pub dedup_window: Duration,

    /// How long the stream keeps an event, and with it how long a consumer may be away; 0s keeps it for ever.
    #[arg(long = "stream-max-age", env = "STREAM_MAX_AGE", default_value = "30d", value_parser = duration)]
    pub max_age: Duration,
}

/// Takes what becomes the value of a header; clap's `value_parser`.
///
/// # Errors
/// What is wrong with the text.
pub fn header_text(text: &str) -> Result<String, String> {
    if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
        return Err("it becomes a header: not empty, no control characters, no white space at its ends".to_owned());
    }
    Ok(text.to_owned())
}

/// Takes a subject to listen on; clap's `value_parser`.
///
/// # Errors
/// What is wrong with the text.
fn wake_subject(text: &str) -> Result<String, String> {
    subject::pattern(text).map(|_| text.to_owned())
}

/// Takes the name of a stream, a part of subjects and of headers; clap's `value_parser`.
///
/// # Errors
/// What is wrong with the text.
fn stream_name(text: &str) -> Result<String, String> {
    let is_refused = |c: char| c.is_control() || c.is_whitespace() || ".*>/\\".contains(c);
    if text.is_empty() || text.chars().any(is_refused) {
        return Err("a stream's name has no white space, control characters, or any of . * > / \\".to_owned());
    }
    Ok(text.to_owned())
}

impl Validate for RunConfig {
    fn validate(&self) -> Result<(), String> {
        self.database.validate()?;
        self.nats.validate()?;
        if self.lease_time < Duration::from_secs(1) {
            return Err("LEASE_TIME must be at least 1s: a lease that a busy database can outlast is no lease".into());
        }
        if self.lease_time > Duration::from_secs(3600) {
            return Err(
                "LEASE_TIME must be at most 1h: as long as that nobody takes over from a relay that died".into()
            );
        }
        if self.poll_interval < Duration::from_millis(10) || self.publish_timeout < Duration::from_millis(100) {
            return Err("POLL_INTERVAL must be at least 10ms and PUBLISH_TIMEOUT at least 100ms".into());
        }
        if self.watch_interval < Duration::from_millis(100) {
            return Err("WATCH_INTERVAL must be at least 100ms: each check asks the broker".into());
        }
        if self.batch_size_max.get() > 10_000 {
            return Err("BATCH_SIZE_MAX must be at most 10000: a batch is held in memory".into());
        }
        if self.process.shutdown_grace < self.publish_timeout + self.lease_time {
            return Err(
                "SHUTDOWN_GRACE must be at least PUBLISH_TIMEOUT + LEASE_TIME: a stop settles what it published".into(),
            );
        }
        if !self.retention.is_zero() && self.retention < self.stream.dedup_window {
            return Err(
                "RETENTION must be at least DEDUP_WINDOW, or 0s: what is deleted can't be published again".into()
            );
        }
        if !self.retention.is_zero() && self.retention < self.proof_horizon {
            return Err(
                "RETENTION must be at least PROOF_HORIZON, or 0s: nothing is deleted before it is proven".into()
            );
        }
        let StreamConfig { max_age, dedup_window, .. } = self.stream;
        let kept_for = if self.retention.is_zero() { Duration::MAX } else { self.retention };
        if !max_age.is_zero() && max_age <= kept_for.max(dedup_window) {
            return Err(
                "STREAM_MAX_AGE must be above RETENTION and DEDUP_WINDOW, or 0s: what the outbox still has must \
                        still be in the stream"
                    .into(),
            );
        }
        // Until a takeover has published again what a crash left unsettled, the stream must remember the ids.
        let replay = 2 * (self.publish_timeout + self.lease_time);
        if self.stream.dedup_window < replay {
            return Err(format!(
                "DEDUP_WINDOW must be at least {}: twice PUBLISH_TIMEOUT + LEASE_TIME",
                humantime::format_duration(replay)
            ));
        }
        Ok(())
    }
}
