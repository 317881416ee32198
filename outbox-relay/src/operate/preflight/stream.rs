//! Checks whether the stream is as the promises need it.
//!
//! The broker does not tell clients when it flushes to disk, so with one replica a note says that this was not checked.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use runtime::telemetry::chain;
use schema::names::NOTIFY_DURABLE;
use serde_json::Value;

use super::difference;
use super::finding::Finding;
use super::finding::Severity::{Error, Note, Warning};
use crate::config::StreamConfig;
use crate::stream::wanted;
use crate::subject::Pattern;

const PATIENCE: Duration = Duration::from_secs(5);
/// A window above this holds more ids than a broker should keep in memory.
const DEDUP_WINDOW_MAX: Duration = Duration::from_secs(1800);

/// What a server takes unless configured.
const PAYLOAD_USUAL: usize = 1 << 20;

/// What the settings of the relay demand.
#[derive(Clone, Debug)]
pub struct Demands {
    pub stream: StreamConfig,
    /// See [`worst_replay`].
    pub worst_replay: Duration,
}

/// The longest time after which a takeover publishes again what a crash left unsettled.
pub fn worst_replay(publish_timeout: Duration, lease_time: Duration) -> Duration {
    2 * (publish_timeout + lease_time)
}

/// The broker to check.
#[derive(Clone, Debug)]
pub struct Broker(async_nats::Client);

impl Broker {
    /// Checks by this connection.
    pub fn new(client: async_nats::Client) -> Self {
        Self(client)
    }

    /// Everything found; or, as an error, that the broker does not answer.
    pub async fn check(&self, demands: &Demands) -> Result<Vec<Finding>, Finding> {
        let Self(client) = self;
        let away = |what: String| Finding::unasked("broker", what);
        // Only an answer shows that the connection is there: the client connects in the background.
        let flushed = tokio::time::timeout(PATIENCE, client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) || client.try_server_info().is_none() {
            return Err(away("the broker does not answer".to_owned()));
        }
        let is_new = client.is_server_compatible(2, 12, 0);
        let mut findings = Vec::new();
        if !is_new {
            let what = format!("nats-server is {}", client.server_info().version);
            let why = "without atomic batches every event is published by itself, which is slower";
            let severity = if client.is_server_compatible(2, 10, 0) { Note } else { Warning };
            findings.push(Finding::new(severity, "broker_version", what, why, "run nats-server 2.12 or later"));
        }
        let payload_max = client.server_info().max_payload;
        if payload_max < PAYLOAD_USUAL {
            let what = format!("the server takes messages of {payload_max} bytes");
            let why = "a larger event, as servers take it unless configured, is dead";
            let fix = "set max_payload in the server's configuration";
            findings.push(Finding::new(Warning, "max_payload", what, why, fix));
        }
        let name = &demands.stream.name;
        let context = jetstream::new(client.clone());
        // As the server reports it: the client leaves out what it does not know.
        match context.request::<_, _, Value>(format!("STREAM.INFO.{name}"), &()).await {
            Ok(info) if info["error"]["code"] == 404 => return Ok(findings), // the relay creates it as it should be
            Ok(info) if info["config"].is_object() => {
                let stream = serde_json::from_value(info["config"].clone());
                let stream =
                    stream.map_err(|error| away(format!("the broker tells of the stream otherwise: {error}")))?;
                findings.extend(config(&stream, demands, is_new));
                let ours = serde_json::to_value(wanted(&demands.stream)).unwrap_or_default();
                findings.extend(difference::stream(name, &info["config"], &ours));
            }
            Ok(info) => {
                return Err(away(format!("the broker does not tell of the stream: {}", info["error"]["description"])));
            }
            Err(error) => return Err(away(format!("the broker does not tell of the stream: {}", chain(&error)))),
        }
        match context.request::<_, _, Value>(format!("CONSUMER.LIST.{name}"), &()).await {
            Ok(list) => findings.extend(list["consumers"].as_array().into_iter().flatten().flat_map(consumer)),
            Err(error) => findings
                .push(Finding::unasked("consumers", format!("the broker tells of no consumers: {}", chain(&error)))),
        }
        Ok(findings)
    }
}

/// A paused consumer is worth a finding whoever it belongs to; how others are configured is their owners' business.
fn consumer(info: &Value) -> Vec<Finding> {
    let name = info["name"].as_str().unwrap_or_default();
    let mut findings = if name == NOTIFY_DURABLE { difference::consumer(name, &info["config"]) } else { Vec::new() };
    if info["paused"] == true {
        let what =
            format!("the consumer {name} is paused until {}", info["config"]["pause_until"].as_str().unwrap_or("?"));
        let why = "no event has an effect until then";
        findings.push(Finding::new(
            Warning,
            "consumer_paused",
            what,
            why,
            &format!("nats consumer resume, for {name}"),
        ));
    }
    findings
}

fn config(stream: &Config, demands: &Demands, is_new: bool) -> Vec<Finding> {
    let name = &stream.name;
    let mut findings = Vec::new();
    let mut expect = |is_sound: bool, finding: Finding| {
        if !is_sound {
            findings.push(finding);
        }
    };
    let window = stream.duplicate_window;
    let said = |duration| humantime::format_duration(duration).to_string();
    let why = "a relay that takes over publishes again what a crash left unsettled, and the stream stores it twice";
    let fix = format!("nats stream edit {name} --dupe-window {}", said(demands.stream.dedup_window));
    let what = format!("the dedup window is {}, the worst replay {}", said(window), said(demands.worst_replay));
    expect(window >= demands.worst_replay, Finding::new(Error, "dedup_window", what, why, &fix));
    let why = "the broker keeps every id of the window in memory, about 600 bytes each";
    let what = format!("the dedup window is {}", said(window));
    expect(window <= DEDUP_WINDOW_MAX, Finding::new(Warning, "dedup_window", what, why, &fix));

    let wanted = demands.stream.subjects.iter();
    let missing: Vec<&str> = wanted.map(Pattern::as_str).filter(|wanted| !takes(stream, wanted)).collect();
    let why = "no stream, or another one, answers for events to these subjects, and the relay waits for ever";
    let what = format!("the stream does not take {}", missing.join(", "));
    // What is given replaces what the stream takes, and must not overlap.
    let wanted = &demands.stream.subjects;
    let others =
        stream.subjects.iter().map(String::as_str).filter(|has| !wanted.iter().any(|wanted| covers(wanted, has)));
    let all: Vec<&str> = wanted.iter().map(Pattern::as_str).chain(others).collect();
    let fix = format!("nats stream edit {name} --subjects {}", all.join(","));
    expect(missing.is_empty(), Finding::new(Error, "subjects", what, why, &fix));

    let (has, wanted) = (stream.max_age, demands.stream.max_age);
    let why = if !has.is_zero() && (has < wanted || wanted.is_zero()) {
        "a consumer that is away for longer misses events"
    } else {
        "the stream grows for longer than was planned, and consumers can't forget what they have seen"
    };
    let fix = format!("nats stream edit {name} --max-age {}s, or set STREAM_MAX_AGE", wanted.as_secs());
    let what = format!("the stream keeps an event {}, not {}", kept(has), kept(wanted));
    expect(has == wanted, Finding::new(Warning, "max_age", what, why, &fix));

    let (has, wanted) = (stream.num_replicas, usize::from(demands.stream.replicas));
    let why = "a loss of one server loses events that were acknowledged";
    let fix = format!("nats stream edit {name} --replicas {wanted}");
    let what = format!("the stream has {has} replicas, not {wanted}");
    expect(has >= wanted, Finding::new(Warning, "replicas", what, why, &fix));
    let why = "unless the server syncs always, which it does not tell, a power cut loses events that were acknowledged";
    let fix = "set sync_interval: always in the server's configuration, or run three servers and STREAM_REPLICAS=3";
    let what = "the stream has one replica".to_owned();
    expect(has > 1 || wanted > 1, Finding::new(Note, "replicas", what, why, fix));

    let why = "every event is published by itself, which is slower";
    let fix = format!("nats stream edit {name} --allow-batch");
    let what = "the stream takes no atomic batches".to_owned();
    expect(!is_new || stream.allow_atomic_publish, Finding::new(Warning, "allow_atomic", what, why, &fix));
    findings
}

fn kept(max_age: Duration) -> String {
    if max_age.is_zero() { "for ever".to_owned() } else { format!("for {}", humantime::format_duration(max_age)) }
}

/// Whether one of the stream's subjects takes all that `wanted` takes.
fn takes(stream: &Config, wanted: &str) -> bool {
    stream.subjects.iter().filter_map(|text| text.parse::<Pattern>().ok()).any(|pattern| covers(&pattern, wanted))
}

/// Whether the pattern takes all that `wanted` takes.
fn covers(pattern: &Pattern, wanted: &str) -> bool {
    let example = wanted.replace('>', "any.any").replace('*', "any");
    let is_open = wanted.ends_with('>');
    pattern.as_str() == wanted || (pattern.matches(&example) && (!is_open || pattern.as_str().ends_with('>')))
}
