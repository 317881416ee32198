//! What a check of the stream works with, and what it leaves to the next one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use runtime::config::Misconfigured;
use runtime::mysql::Pool;
use schema::sequence::{Seq, StreamSeq};

use super::acks::Acks;
use super::metrics::LossMetrics;
use crate::publish::stream_now::StreamNow;
use crate::publish::{Outage, Publisher};
use crate::store::relay_stream::StreamRow;

/// Above every `seq` of the outbox.
pub(super) const NEWEST: Seq = Seq::MAX;

/// Checks the stream, in the active relay.
#[derive(Clone, Debug)]
pub struct Watcher {
    pub pool: Pool,
    pub publisher: Publisher,
    pub acks: Acks,
    pub metrics: LossMetrics,
    /// `ce-source` of events that are published here.
    pub source: String,
    /// How often to check.
    pub interval: Duration,
    /// How long a message must have stood in the stream to be proven.
    pub horizon: Duration,
}

/// What was seen since the relay attached itself to the stream.
#[derive(Debug, Default)]
pub struct Watch {
    pub(super) due_at: Option<Instant>,
    pub(super) connects: u64,
    /// Ends of the stream, oldest first.
    pub(super) marks: VecDeque<Mark>,
    /// When the broker last did not say how far the consumers have come.
    pub(super) unanswered_at: Option<Instant>,
}

/// An end of the stream, and when it was seen.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) seq: StreamSeq,
    pub(super) stored_at: Option<DateTime<Utc>>,
    pub(super) marked_at: Instant,
}

/// Why a check ended early.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error(transparent)]
    Outage(#[from] Outage),
    #[error("watching the stream")]
    Database(#[from] sqlx::Error),
    #[error("another relay holds the lease")]
    LeaseLost,
    #[error("this relay is to stop, or its lease ran out")]
    Over,
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
}

impl Watcher {
    /// Whether it is time to check, or the broker may be another one.
    pub fn is_due(&self, watch: &Watch) -> bool {
        watch.due_at.is_none_or(|at| Instant::now() >= at) || self.publisher.connects() != watch.connects
    }
}

/// Up to which sequence the stream is proven, and when its message was stored.
pub(super) type Proven = (StreamSeq, Option<DateTime<Utc>>);

/// What is to be remembered of a check.
pub(super) fn seen(now: &StreamNow, (proven_seq, proven_stored_at): Proven) -> StreamRow {
    StreamRow {
        stream: Some(now.name.clone()),
        created_at: now.created_at,
        server: now.server.clone(),
        first_seq: now.first_seq,
        last_seq: now.last_seq,
        last_stored_at: now.last_stored_at,
        deleted: now.deleted,
        proven_seq,
        proven_stored_at,
        limits: now.policy.limits.clone(),
        ..StreamRow::default()
    }
}
