//! How a configuration at the broker differs from the one that we would make.
//!
//! Both are compared as JSON, key by key, so that a setting of which neither this program nor its client knows is a finding,
//! too. What is not set is compared as what the server takes for it: none, 0 and -1 are one limit.

use serde_json::{Map, Value};

use super::finding::Severity::{Error, Warning};
use super::finding::{Finding, Severity};

/// What a setting of a stream does to the promises when it is not ours, and by which option it is edited.
type Meaning = (&'static str, Severity, &'static str, Option<&'static str>);

/// Keys that say nothing of what the stream does, or that `stream` compares with more sense.
const NOT_HERE: [&str; 10] = [
    "name",
    "description",
    "metadata",
    "template_owner",
    "subjects",
    "max_age",
    "duplicate_window",
    "num_replicas",
    "allow_atomic",
    "first_seq",
];

const UNKNOWN: &str = "this version of the relay does not know what it does to the promises";

const STREAM: [Meaning; 31] = [
    (
        "discard",
        Error,
        "events are lost unread, instead of waiting in the outbox until there is room",
        Some("--discard new"),
    ),
    ("discard_new_per_subject", Warning, "events of a full subject wait in the outbox until there is room", None),
    (
        "retention",
        Error,
        "the stream deletes what its consumers have acknowledged: one that comes later, or is made again, misses events",
        None,
    ),
    ("storage", Error, "a restart of the broker loses every event that is kept in memory", None),
    ("deny_delete", Warning, "a hole in the stream is an event that some consumer never sees", None),
    ("deny_purge", Warning, "one command loses every event that is not read yet", None),
    ("no_ack", Error, "the broker acknowledges no event, and the relay waits for ever", Some("--ack")),
    ("sealed", Error, "the stream takes no events, and the relay waits for ever", None),
    ("mirror", Error, "the stream takes the messages of another one and none of the relay's", None),
    ("sources", Error, "messages of other streams come between the relay's: consumers get what no outbox knows", None),
    (
        "subject_transform",
        Error,
        "events are stored under other subjects than their own, where consumers that filter miss them",
        None,
    ),
    (
        "persist_mode",
        Error,
        "the broker acknowledges events before it has written them, and loses them when it is killed",
        None,
    ),
    (
        "max_msgs_per_subject",
        Error,
        "a limit on each subject drops events unread, or has them wait in the outbox",
        Some("--max-msgs-per-subject=-1"),
    ),
    (
        "max_msgs",
        Warning,
        "a full stream takes no events: they wait in the outbox until somebody makes room",
        Some("--max-msgs=-1"),
    ),
    (
        "max_bytes",
        Warning,
        "a full stream takes no events: they wait in the outbox until somebody makes room",
        Some("--max-bytes=-1"),
    ),
    (
        "max_msg_size",
        Warning,
        "events that the server would take are too large for the stream",
        Some("--max-msg-size=-1"),
    ),
    (
        "max_consumers",
        Warning,
        "a consumer that is made again is refused, and so is the one by which the relay compares",
        None,
    ),
    (
        "consumer_limits",
        Warning,
        "a consumer is refused, or removed while it is away",
        Some("--limit-consumer-inactive 0"),
    ),
    (
        "republish",
        Warning,
        "what is published on carries the headers by which the broker checks the relay's publishes, and another stream that takes it refuses it for them: it lacks events. One that keeps a copy has to be a mirror, or have this stream as its source",
        Some("--no-republish"),
    ),
    (
        "allow_msg_ttl",
        Warning,
        "a message with a time to live is gone before a consumer that is away has read it",
        None,
    ),
    ("subject_delete_marker_ttl", Warning, "the broker adds messages of its own, which no outbox knows", None),
    ("allow_rollup_hdrs", Warning, "one message can delete all before it", None),
    ("allow_msg_counter", Error, "the stream takes counters only, and no event", None),
    (
        "allow_msg_schedules",
        Warning,
        "a message can be stored later than it was acknowledged, behind later versions",
        None,
    ),
    (
        "allow_batched",
        Warning,
        "other publishers may store messages before they are checked against the stream's end",
        None,
    ),
    (
        "allow_direct",
        Warning,
        "copies that are behind answer, too: an event that is there may be missing in their answer",
        Some("--no-allow-direct"),
    ),
    (
        "mirror_direct",
        Warning,
        "mirrors that are behind answer, too: an event that is there may be missing in their answer",
        Some("--no-allow-mirror-direct"),
    ),
    ("compression", Warning, "the broker takes longer for each event", Some("--compression none")),
    ("placement", Warning, "the stream can be led by those servers only, and stops with them", None),
    ("pause_until", Warning, "the stream pauses", None),
    ("cluster", Warning, "the stream can be led by those servers only, and stops with them", None),
];

/// What a setting of a consumer does that is not ours.
const CONSUMER: [(&str, &str); 12] = [
    ("max_deliver", "an event that can't be processed so many times is passed over, and nobody notices"),
    ("filter_subject", "events of other subjects are passed over"),
    ("filter_subjects", "events of other subjects are passed over"),
    ("headers_only", "events come without their bodies"),
    ("ack_policy", "an event counts as processed before it is"),
    ("deliver_policy", "what the stream had before the consumer was made is passed over"),
    ("deliver_subject", "the broker pushes events, whether they can be taken or not"),
    ("replay_policy", "events come as slowly as they were stored"),
    ("rate_limit_bps", "events come slower than they are stored"),
    ("inactive_threshold", "the consumer is removed while nobody reads, and with it how far it came"),
    ("mem_storage", "a restart of the broker forgets how far the consumer came"),
    ("num_replicas", "the loss of one server forgets how far the consumer came"),
];

/// A finding for each key of a stream that is not as we would make it.
pub fn stream(name: &str, has: &Value, ours: &Value) -> Vec<Finding> {
    let finding = |key: String| {
        let known = STREAM.iter().find(|(known, ..)| *known == key);
        let (_, severity, why, option) = known.copied().unwrap_or(("", Warning, UNKNOWN, None));
        let what = format!("the stream has {key} {}, not {}", shown(has.get(&key)), shown(ours.get(&key)));
        let fix = match option {
            Some(option) => format!("nats stream edit {name} {option}"),
            None => format!("nats stream edit {name}, or create it again, if it can't be changed"),
        };
        Finding::new(severity, key, what, why, &fix)
    };
    different(has, ours).into_iter().filter(|key| !NOT_HERE.contains(&key.as_str())).map(finding).collect()
}

/// As [`stream`], for a consumer that keeps all its messages until they are processed.
pub fn consumer(name: &str, has: &Value) -> Vec<Finding> {
    let ours = serde_json::json!({ "ack_policy": "explicit", "deliver_policy": "all", "replay_policy": "instant" });
    let finding = |key: String| {
        let (_, why) = CONSUMER.iter().find(|(known, _)| *known == key)?;
        // It reads again from where its database stands.
        if has.get(&key).is_some_and(|policy| policy == "by_start_sequence") {
            return None;
        }
        let what = format!("the consumer {name} has {key} {}, not {}", shown(has.get(&key)), shown(ours.get(&key)));
        let fix = format!("delete it: {name} makes it again as it should be");
        Some(Finding::new(Warning, format!("consumer_{key}"), what, why, &fix))
    };
    different(has, &ours).into_iter().filter_map(finding).collect()
}

fn different(has: &Value, ours: &Value) -> Vec<String> {
    let none = Map::new();
    let (has, ours) = (has.as_object().unwrap_or(&none), ours.as_object().unwrap_or(&none));
    let mut keys: Vec<&String> = has.keys().chain(ours.keys()).collect();
    keys.sort();
    keys.dedup();
    let set = |map: &Map<String, Value>, key: &str| map.get(key).filter(|value| is_set(value)).cloned();
    keys.into_iter().filter(|key| set(has, key) != set(ours, key)).cloned().collect()
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => !matches!(number.as_i64(), Some(0 | -1)),
        Value::String(text) => !matches!(text.as_str(), "" | "none" | "default"),
        Value::Array(values) => !values.is_empty(),
        Value::Object(map) => map.values().any(is_set),
        Value::Bool(true) => true,
    }
}

fn shown(value: Option<&Value>) -> String {
    match value.filter(|value| is_set(value)) {
        None => "off".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_that_nobody_knows_yet_is_a_finding_and_an_unset_one_is_none() {
        let ours = json!({ "discard": "new", "max_msgs": 0, "republish": null });
        let same = json!({ "discard": "new", "max_msgs": -1, "sealed": false, "consumer_limits": {}, "metadata": { "a": "b" } });
        assert!(stream("S", &same, &ours).is_empty());
        let found = stream("S", &json!({ "discard": "old", "warp": true }), &ours);
        let settings: Vec<&str> = found.iter().map(|finding| &*finding.setting).collect();
        assert_eq!(settings, ["discard", "warp"]);
        assert_eq!(found[1].why, UNKNOWN);
    }
}
