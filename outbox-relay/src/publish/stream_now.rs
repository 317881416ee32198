//! What the stream's leader says of the stream, in one answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy};
use chrono::{DateTime, Utc};
use schema::sequence::StreamSeq;

use super::{Outage, Publisher};
use crate::subject::Pattern;
use crate::terms::Taken;

/// The stream at one moment.
#[derive(Clone, Debug)]
pub struct StreamNow {
    pub name: String,
    /// When the broker made it, by its own word, which some servers change.
    pub created_at: Option<DateTime<Utc>>,
    /// Which server answered, and which run of it.
    pub server: String,
    /// Whether a server that was cut off from others may still believe that it leads.
    pub is_replicated: bool,
    pub first_seq: StreamSeq,
    /// When the first message was stored, by the broker's clock; none if the stream is empty.
    pub first_stored_at: Option<DateTime<Utc>>,
    pub last_seq: StreamSeq,
    /// When the last message was stored, by the broker's clock; none if the stream is empty.
    pub last_stored_at: Option<DateTime<Utc>>,
    /// Messages missing between the first and the last one.
    pub deleted: u64,
    pub policy: Policy,
}

/// What the stream throws away by itself, which is no loss if every consumer had it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Messages older than this; zero: none.
    pub max_age: Duration,
    /// The oldest messages, when there is no room for a new one.
    pub drops_oldest: bool,
    /// Messages in the middle: those that were consumed, or all but the last ones of a subject.
    pub drops_inside: bool,
    /// Messages that were consumed, and no others.
    pub consumes: bool,
    /// For people, and to notice a change: empty if it throws nothing away.
    pub limits: String,
}

impl Policy {
    /// Whether any message may be thrown away at any time, also before its consumers had it.
    pub fn drops_unread(&self) -> bool {
        !self.consumes && (self.drops_oldest || self.drops_inside)
    }
}

impl Publisher {
    /// Asks the stream's leader.
    ///
    /// # Errors
    /// If the broker is away or refuses, or there is no stream.
    pub async fn stream_now(&self) -> Result<StreamNow, Outage> {
        let stream = self.context.get_stream(&self.stream).await;
        let stream = stream.map_err(|error| Outage(format!("asking for the stream: {error}")))?;
        let info = stream.cached_info();
        self.terms.note(taken(&info.config));
        self.allow_atomic(info.config.allow_atomic_publish);
        Ok(self.of(info))
    }

    /// How often this process has connected to the broker.
    pub fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    fn of(&self, info: &Info) -> StreamNow {
        let state = &info.state;
        let of_a_message = |time| if state.messages > 0 { moment(time) } else { None };
        StreamNow {
            name: info.config.name.clone(),
            created_at: moment(info.created),
            server: self.server(info),
            is_replicated: info.config.num_replicas > 1,
            first_seq: StreamSeq(state.first_sequence),
            first_stored_at: of_a_message(state.first_timestamp),
            last_seq: StreamSeq(state.last_sequence),
            last_stored_at: of_a_message(state.last_timestamp),
            deleted: state.deleted_count.unwrap_or(0),
            policy: policy(&info.config),
        }
    }

    /// In a cluster the leader and since when it leads, else the server's own id: both change with a restart.
    fn server(&self, info: &Info) -> String {
        let leader =
            info.cluster.as_ref().filter(|cluster| cluster.raft_group.is_some() || !cluster.replicas.is_empty());
        match leader {
            Some(cluster) => {
                let since = cluster.leader_since.map(|since| since.to_string()).unwrap_or_default();
                format!("{} {since}", cluster.leader.as_deref().unwrap_or_default()).trim_end().to_owned()
            }
            None => self.client.server_info().server_id,
        }
    }
}

fn taken(config: &Config) -> Taken {
    Taken {
        subjects: config.subjects.iter().map(|subject| Pattern::of_stream(subject)).collect(),
        message_bytes_max: u64::try_from(config.max_message_size).ok().filter(|bytes| *bytes > 0),
    }
}

fn policy(config: &Config) -> Policy {
    let consumes = config.retention != RetentionPolicy::Limits;
    let is_limited = config.max_messages > 0 || config.max_bytes > 0;
    Policy {
        max_age: config.max_age,
        drops_oldest: consumes || (config.discard == DiscardPolicy::Old && is_limited),
        drops_inside: consumes || config.max_messages_per_subject > 0 || config.allow_message_ttl,
        consumes,
        limits: limits(config),
    }
}

fn limits(config: &Config) -> String {
    let drops_oldest = config.discard == DiscardPolicy::Old;
    let age = humantime::format_duration(config.max_age);
    let limits = [
        (!config.max_age.is_zero()).then(|| format!("max_age {age}")),
        (drops_oldest && config.max_messages > 0).then(|| format!("max_msgs {} with discard old", config.max_messages)),
        (drops_oldest && config.max_bytes > 0).then(|| format!("max_bytes {} with discard old", config.max_bytes)),
        (config.max_messages_per_subject > 0)
            .then(|| format!("max_msgs_per_subject {}", config.max_messages_per_subject)),
        config.allow_message_ttl.then(|| "allow_msg_ttl".to_owned()),
    ];
    limits.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A moment as the database keeps it, to the microsecond; none for one before there were brokers.
fn moment(moment: impl Into<std::time::SystemTime>) -> Option<DateTime<Utc>> {
    let moment = DateTime::<Utc>::from(moment.into());
    DateTime::from_timestamp_micros(moment.timestamp_micros()).filter(|moment| moment.timestamp() > 0)
}
