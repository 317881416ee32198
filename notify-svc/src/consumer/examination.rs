//! What is wrong between stream, consumer and database, by what each of them holds.
//!
//! The order of the questions is what makes the answers exact. The consumer first: what it believes to be done was committed
//! before it was acknowledged, so that a database which is asked later knows it, or has stepped back, or somebody else
//! acknowledged it. The stream last: it holds by then whatever the database has read. Where a message stands proves nothing
//! but together with what it is.

use std::ops::RangeInclusive;

use async_nats::Client;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::Stream;
use runtime::mysql::Pool;
use runtime::telemetry::chain;
use schema::names;
use uuid::Uuid;

use super::attachment::Settings;
use super::durable;
use super::faults::Fault;
use super::unreadable;
use crate::position::{self, Believed, Coverage};
use crate::store::inbox;
use crate::store::inbox_read::Mark;

/// A consumer that delivers again what was read is left alone up to so many messages: a broker that restarts may forget some
/// acknowledgements.
const REDELIVERED_MAX: u64 = 10_000;

/// What is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The consumer was deleted, or lost with its broker.
    ConsumerGone,
    /// Its settings are not ours.
    ConsumerAltered,
    /// It has read further than the stream goes.
    ConsumerAhead,
    /// It begins again with what was read long ago.
    ConsumerRewound,
    /// Other messages stand in the stream than were read, or than the consumer was made for.
    StreamRewritten,
    /// The broker counts as done what the database does not know.
    EventsSkipped,
    /// The effect of the last message is not in the database any more.
    EffectsGone,
}

/// What was found.
pub(super) struct Examined {
    /// None if it is gone.
    pub(super) consumer: Option<consumer::Info>,
    pub(super) coverage: Coverage,
    /// What is wrong with the consumer, or was with the position.
    pub(super) repair: Option<Repair>,
    /// The stream's last sequence before all of it was asked.
    last_before: u64,
}

impl Repair {
    /// All of them, for metrics that start at 0.
    pub const ALL: [Self; 7] = [
        Self::ConsumerGone,
        Self::ConsumerAltered,
        Self::ConsumerAhead,
        Self::ConsumerRewound,
        Self::StreamRewritten,
        Self::EventsSkipped,
        Self::EffectsGone,
    ];

    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ConsumerGone => "consumer_gone",
            Self::ConsumerAltered => "consumer_altered",
            Self::ConsumerAhead => "consumer_ahead",
            Self::ConsumerRewound => "consumer_rewound",
            Self::StreamRewritten => "stream_rewritten",
            Self::EventsSkipped => "events_skipped",
            Self::EffectsGone => "effects_gone",
        }
    }

    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::ConsumerGone => "the consumer is gone; it goes on after the last message that was read",
            Self::ConsumerAltered => "somebody changed the consumer; it is set up as ours again",
            Self::ConsumerAhead => "the consumer has read further than the stream goes; it is replaced",
            Self::ConsumerRewound => "the consumer reads again what was read; it goes on after the last message",
            Self::StreamRewritten => "the stream holds other messages than were read; all of it is read again",
            Self::EventsSkipped => "the broker counts as done what the database does not know; it is read again",
            Self::EffectsGone => "the database has lost the effect of the last message; it is read again from before",
        }
    }
}

impl Examined {
    /// What the consumer will not bring and was not read.
    pub(super) fn lost(&self) -> Vec<RangeInclusive<u64>> {
        self.consumer.as_ref().map(|info| self.lost_by(info)).unwrap_or_default()
    }

    /// The same of a consumer that was made or updated since. One for which nothing is pending will bring no message that was
    /// stored before it said so, whatever it says to have delivered: a filter passes over messages in silence.
    pub(super) fn lost_by(&self, info: &consumer::Info) -> Vec<RangeInclusive<u64>> {
        let passed = if info.num_pending == 0 { self.last_before } else { 0 };
        self.coverage.lost(Believed {
            ack_floor: info.ack_floor.stream_sequence,
            delivered: info.delivered.stream_sequence.max(passed),
            ack_pending: info.num_ack_pending as u64,
        })
    }
}

/// Looks at all of it. A position that does not fit is corrected here; a consumer is not.
pub(super) async fn examine(
    client: &Client,
    stream: &Stream,
    pool: &Pool,
    settings: &Settings,
) -> Result<Examined, Fault> {
    let before = info(stream).await?.state;
    let consumer = consumer_info(stream).await?;
    let coverage = match joined(pool).await? {
        Some(coverage) => coverage,
        None => {
            let start = consumer.as_ref().map_or(0, |info| info.ack_floor.stream_sequence + 1);
            position::open(pool, before.first_sequence, start).await.map_err(|error| database(&error))?;
            joined(pool).await?.ok_or(Fault::DatabaseUnavailable)?
        }
    };
    let state = info(stream).await?.state;
    let wrong = match &coverage.position.mark {
        Some((sequence, mark)) => match stands(client, *sequence, mark, state.last_sequence).await? {
            Standing::Another => Some(Repair::StreamRewritten),
            Standing::Same if is_effect_gone(pool, mark).await? => Some(Repair::EffectsGone),
            Standing::Same | Standing::Gone => None,
        },
        None => None,
    };
    let Some(repair) = wrong else {
        let repair = unfit(consumer.as_ref(), &coverage, state.last_sequence, settings);
        return Ok(Examined { consumer, coverage, repair, last_before: before.last_sequence });
    };
    correct(pool, &coverage, repair, (state.first_sequence, state.last_sequence)).await?;
    let coverage = joined(pool).await?.ok_or(Fault::DatabaseUnavailable)?;
    Ok(Examined { consumer, coverage, repair: Some(repair), last_before: before.last_sequence })
}

async fn joined(pool: &Pool) -> Result<Option<Coverage>, Fault> {
    position::join(pool).await.map_err(|error| database(&error))
}

async fn correct(pool: &Pool, coverage: &Coverage, repair: Repair, stream: (u64, u64)) -> Result<(), Fault> {
    let corrected = match repair {
        Repair::EffectsGone => {
            let known = inbox::lowest_of_latest(pool, coverage.highest()).await.map_err(|error| database(&error))?;
            position::step_back(pool, known.map_or(1, |known| known + 1), repair.label(), None).await.map(drop)
        }
        _ => position::start_over(pool, coverage.position.reading, stream, repair.label()).await.map(drop),
    };
    corrected.map_err(|error| database(&error))
}

/// Why a consumer can't stay as it is.
fn unfit(consumer: Option<&consumer::Info>, coverage: &Coverage, last: u64, settings: &Settings) -> Option<Repair> {
    let Some(info) = consumer else { return Some(Repair::ConsumerGone) };
    let delivered = info.delivered.stream_sequence;
    if delivered.max(info.ack_floor.stream_sequence) > last {
        return Some(Repair::ConsumerAhead);
    }
    let differences = durable::differences(&info.config, settings);
    if is_other(durable::reading(&info.config), coverage.position.reading) {
        return Some(Repair::StreamRewritten);
    }
    if !differences.is_empty() {
        tracing::warn!(?differences, "the consumer is not as it was made");
        return Some(Repair::ConsumerAltered);
    }
    (delivered.saturating_add(REDELIVERED_MAX) < coverage.highest()).then_some(Repair::ConsumerRewound)
}

/// Servers before 2.10 keep no metadata: nobody knows whom it was made for.
pub(super) fn is_other(made_for: Option<Uuid>, reading: Uuid) -> bool {
    made_for.is_some_and(|made_for| made_for != reading)
}

enum Standing {
    Same,
    Gone,
    Another,
}

/// Reads the message whether the client can parse its headers or not: history has read it in the same way.
async fn stands(client: &Client, sequence: u64, mark: &Mark, last: u64) -> Result<Standing, Fault> {
    if sequence > last {
        return Ok(Standing::Another);
    }
    let Some(message) = unreadable::get(client, sequence).await? else { return Ok(Standing::Gone) };
    let stored_ns = message.stored_at.timestamp_nanos_opt().unwrap_or_default();
    let is_same = stored_ns == mark.stored_ns && message.identity() == mark.id;
    Ok(if is_same { Standing::Same } else { Standing::Another })
}

/// A message that the stream still holds is younger than any inbox row that is purged.
async fn is_effect_gone(pool: &Pool, mark: &Mark) -> Result<bool, Fault> {
    let Some(event_id) = mark.event_id else { return Ok(false) };
    let recorded = inbox::recorded(pool, &[event_id]).await.map_err(|error| database(&error))?;
    Ok(recorded.is_empty())
}

async fn consumer_info(stream: &Stream) -> Result<Option<consumer::Info>, Fault> {
    match stream.consumer_info(names::NOTIFY_DURABLE).await {
        Ok(info) => Ok(Some(info)),
        Err(error) => match error.kind() {
            ConsumerInfoErrorKind::NotFound => Ok(None),
            ConsumerInfoErrorKind::JetStream(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => Ok(None),
            _ => Err(broker(&error)),
        },
    }
}

async fn info(stream: &Stream) -> Result<async_nats::jetstream::stream::Info, Fault> {
    stream.get_info().await.map_err(|error| broker(&error))
}

fn broker(error: &dyn std::fmt::Display) -> Fault {
    tracing::debug!(%error, "looking at the stream failed");
    Fault::BrokerUnreachable
}

pub(super) fn database(error: &sqlx::Error) -> Fault {
    tracing::debug!(error = chain(error), "reading the position failed");
    if runtime::mysql::is_transient(error) { Fault::DatabaseUnavailable } else { Fault::DatabaseRefuses }
}
