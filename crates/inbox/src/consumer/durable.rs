//! The durable consumer as it has to be, and in what an existing one differs.
//!
//! Every setting that the broker knows of a consumer is compared, not a list that somebody once made. Where it began
//! to read is not: what it left out is found by the position. Its metadata keeps the reading that it belongs to, and the
//! settings of the process that made it, so that replicas with other settings don't change it in turn.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, IntoConsumerConfig};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::source::Source;

/// The consumer's metadata: the reading of its stream.
const READING: &str = "reading";
const ACK_WAIT: &str = "ack-wait-ms";
const ACK_PENDING_MAX: &str = "max-ack-pending";
/// What a server fills in where nothing is said.
const WAITING_MAX: i64 = 512;

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

/// As it has to be, and where it begins.
pub(super) fn config(source: &Source, settings: &Settings, reading: Uuid, deliver_policy: DeliverPolicy) -> Config {
    let metadata = [
        (READING, reading.to_string()),
        (ACK_WAIT, settings.ack_wait.as_millis().to_string()),
        (ACK_PENDING_MAX, settings.ack_pending_max.to_string()),
    ];
    Config {
        durable_name: Some(source.consumer.clone()),
        description: Some("one effect for each event".to_owned()),
        deliver_policy,
        ack_policy: AckPolicy::Explicit,
        ack_wait: settings.ack_wait,
        max_ack_pending: i64::from(settings.ack_pending_max),
        // What can't be processed is termed by us, with a row in inbox_dead; the broker must never give up silently.
        max_deliver: -1,
        max_waiting: WAITING_MAX,
        metadata: metadata.map(|(name, value)| (name.to_owned(), value)).into(),
        ..Config::default()
    }
}

/// A consumer that begins at a sequence, or with the first message that there is.
pub(super) fn from(start: u64) -> DeliverPolicy {
    if start <= 1 { DeliverPolicy::All } else { DeliverPolicy::ByStartSequence { start_sequence: start } }
}

/// The reading that a consumer was made for; none if nobody said so.
pub(super) fn reading(config: &consumer::Config) -> Option<Uuid> {
    config.metadata.get(READING)?.parse().ok()
}

/// In what a consumer differs from ours, by the names of the settings. Those that a replica chose for it are ours.
pub(super) fn differences(found: &consumer::Config, source: &Source, settings: &Settings) -> Vec<String> {
    let chosen = chosen(&found.metadata).unwrap_or(*settings);
    let ours = essence(&config(source, &chosen, Uuid::nil(), DeliverPolicy::All).into_consumer_config());
    let theirs = essence(found);
    let names = ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
    names.filter(|name| ours.get(*name) != theirs.get(*name)).cloned().collect()
}

fn chosen(metadata: &HashMap<String, String>) -> Option<Settings> {
    let ack_wait = Duration::from_millis(metadata.get(ACK_WAIT)?.parse().ok()?);
    let ack_pending_max = metadata.get(ACK_PENDING_MAX)?.parse().ok()?;
    Some(Settings { ack_wait, ack_pending_max, batch_size_max: 0 })
}

/// Without what the server adds, and where it began: only that it began at a place, and not wherever the stream was.
fn essence(config: &consumer::Config) -> Map<String, Value> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(config) else { return Map::new() };
    for name in ["name", "metadata", "opt_start_seq", "opt_start_time"] {
        all.remove(name);
    }
    if matches!(config.deliver_policy, DeliverPolicy::ByStartSequence { .. }) {
        all.insert("deliver_policy".to_owned(), "all".into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_somebody_else_is_a_difference() {
        let settings = Settings { ack_wait: Duration::from_secs(30), ack_pending_max: 4096, batch_size_max: 256 };
        let source = Source::new("ORDERS", "notify-svc", "order");
        let ours = config(&source, &settings, Uuid::now_v7(), from(17)).into_consumer_config();
        assert_eq!(differences(&ours, &source, &settings), [""; 0]);
        let other = Settings { ack_wait: Duration::from_secs(60), ..settings };
        assert_eq!(differences(&ours, &source, &other), [""; 0], "a replica chose it");
        let theirs = consumer::Config {
            ack_wait: Duration::from_secs(1),
            deliver_policy: DeliverPolicy::New,
            filter_subject: "order.created".to_owned(),
            headers_only: true,
            inactive_threshold: Duration::from_secs(5),
            max_deliver: 1,
            ..ours
        };
        let found = differences(&theirs, &source, &settings);
        let names =
            ["ack_wait", "deliver_policy", "filter_subject", "headers_only", "inactive_threshold", "max_deliver"];
        assert!(
            names.iter().all(|name| found.contains(&(*name).to_owned())) && found.len() == names.len(),
            "{found:?}"
        );
    }
}
