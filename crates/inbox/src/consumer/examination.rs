//! Finds what does not fit between stream, consumer and database, by what each of them holds.
//!
//! They are asked in a fixed order, so that the answers can be compared. The consumer first: each message is committed before it
//! is acknowledged, so the database, asked later, knows all that the consumer believes to be done. If it does not, it was
//! rewound, or somebody else acknowledged them. The stream last: by then it holds whatever the database has read. A message is
//! recognised by its sequence and its identity together. Only several answers in a row count: a leader that is cut off from the
//! other servers goes on to answer with what it had, until it gives up
//! (`a_leader_that_is_cut_off_from_the_others_has_nothing_read_again`).

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer;
use async_nats::jetstream::context::{ConsumerInfoErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{self, Stream};
use async_nats::jetstream::{self, ErrorCode};
use runtime::mysql::Pool;
use runtime::telemetry::chain;
use tokio::time::timeout;
use uuid::Uuid;

use super::durable::{self, Settings};
use super::faults::Fault;
use super::stored;
use crate::position::{self, Believed, Coverage};
use crate::repair::Repair;
use crate::source::Source;
use crate::store::inbox;
use crate::store::inbox_read::Mark;

/// A consumer that delivers again what was read is left alone up to so many messages: a broker that restarts may forget some
/// acknowledgements.
const REDELIVERED_MAX: u64 = 10_000;
/// The first connection, or a reconnect, is given this long before the broker counts as unreachable.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(1);
/// A leader that lost the others notices it after 10 to 20 s.
const DOUBT: Duration = Duration::from_secs(30);

/// Whoever examines, with what it remembers from one time to the next.
pub(super) struct Examiner<'a> {
    pub(super) client: &'a Client,
    pub(super) pool: &'a Pool,
    pub(super) source: &'a Source,
    pub(super) settings: &'a Settings,
    /// Since when each answer says that other messages stand in the stream, and may be one of an old leader.
    doubted_since: Option<Instant>,
}

/// What was found.
pub(super) struct Examined {
    pub(super) stream: Stream,
    /// None if it is gone.
    pub(super) consumer: Option<consumer::Info>,
    pub(super) coverage: Coverage,
    /// What is wrong with the consumer, or was with the position.
    pub(super) repair: Option<Repair>,
}

impl Examined {
    /// What the consumer will not bring and was not read.
    pub(super) fn lost(&self) -> Vec<RangeInclusive<u64>> {
        self.consumer.as_ref().map(|info| self.coverage.lost(self.believed(info))).unwrap_or_default()
    }

    /// The same of a consumer that was made or updated since. Others go on meanwhile: the database is asked after it.
    pub(super) async fn lost_by(
        &self,
        info: &consumer::Info,
        examiner: &Examiner<'_>,
    ) -> Result<Vec<RangeInclusive<u64>>, Fault> {
        let coverage = examiner.joined().await?.ok_or(Fault::DatabaseUnavailable)?;
        if coverage.position.reading != self.coverage.position.reading {
            return Err(Fault::ConsumerUnfit);
        }
        Ok(coverage.lost(self.believed(info)))
    }

    /// A consumer for which nothing is pending will bring no message that was stored before it said so, whatever it says to
    /// have delivered: a filter passes over messages in silence.
    fn believed(&self, info: &consumer::Info) -> Believed {
        let last_before = self.stream.cached_info().state.last_sequence;
        let passed = if info.num_pending == 0 { last_before } else { 0 };
        Believed {
            ack_floor: info.ack_floor.stream_sequence,
            delivered: info.delivered.stream_sequence.max(passed),
            ack_pending: info.num_ack_pending as u64,
        }
    }
}

impl<'a> Examiner<'a> {
    pub(super) fn new(client: &'a Client, pool: &'a Pool, source: &'a Source, settings: &'a Settings) -> Self {
        Self { client, pool, source, settings, doubted_since: None }
    }

    /// Asks for all of it. A position that does not fit is corrected here; a consumer is not.
    pub(super) async fn examine(&mut self) -> Result<Examined, Fault> {
        // Only answers in a row count: one that fails starts over.
        let doubted_since = self.doubted_since.take();
        let stream = find(self.client, &self.source.stream).await?;
        let consumer = consumer_info(&stream, &self.source.consumer).await?;
        let coverage = match self.joined().await? {
            Some(coverage) => coverage,
            None => {
                let start = consumer.as_ref().map_or(0, |info| info.ack_floor.stream_sequence + 1);
                let first = stream.cached_info().state.first_sequence;
                self.in_time(position::open(self.pool, self.source, first, start)).await?;
                self.joined().await?.ok_or(Fault::DatabaseUnavailable)?
            }
        };
        let after = info(&stream).await?;
        let wrong = match &coverage.position.mark {
            Some((sequence, mark)) => match self.stands(*sequence, mark, after.state.last_sequence).await? {
                Standing::Another if may_be_old(&after, mark) => {
                    self.doubt(doubted_since)?;
                    Some(Repair::StreamRewritten)
                }
                Standing::Another => Some(Repair::StreamRewritten),
                Standing::Same if self.is_effect_gone(mark).await? => Some(Repair::EffectsGone),
                Standing::Same | Standing::Gone => None,
            },
            None => None,
        };
        let Some(repair) = wrong else {
            let repair = self.unfit(consumer.as_ref(), &coverage, after.state.last_sequence);
            return Ok(Examined { stream, consumer, coverage, repair });
        };
        self.correct(&coverage, repair, (after.state.first_sequence, after.state.last_sequence)).await?;
        let coverage = self.joined().await?.ok_or(Fault::DatabaseUnavailable)?;
        Ok(Examined { stream, consumer, coverage, repair: Some(repair) })
    }

    /// Passes once the doubt is older than any old leader.
    fn doubt(&mut self, since: Option<Instant>) -> Result<(), Fault> {
        let since = since.unwrap_or_else(Instant::now);
        if since.elapsed() > DOUBT {
            return Ok(());
        }
        self.doubted_since = Some(since);
        Err(Fault::StreamDoubted)
    }

    pub(super) async fn joined(&self) -> Result<Option<Coverage>, Fault> {
        self.in_time(position::join(self.pool, self.source)).await
    }

    /// A connection that fell silent would keep us from ever attaching. The schedule of
    /// `a_program_that_ends_while_all_drains_is_named` has such a one.
    async fn in_time<T>(&self, statements: impl Future<Output = sqlx::Result<T>>) -> Result<T, Fault> {
        self.pool.in_time(statements).await.map_err(|error| database(&error))
    }

    async fn correct(&self, coverage: &Coverage, repair: Repair, stream: (u64, u64)) -> Result<(), Fault> {
        match repair {
            Repair::EffectsGone => {
                let known = inbox::lowest_of_latest(self.pool, self.source, coverage.highest())
                    .await
                    .map_err(|error| database(&error))?;
                let from = known.map_or(1, |known| known + 1);
                self.in_time(position::step_back(self.pool, self.source, from, repair.label(), None)).await.map(drop)
            }
            _ => {
                let reading = coverage.position.reading;
                let started = position::start_over(self.pool, self.source, reading, stream, repair.label());
                self.in_time(started).await.map(drop)
            }
        }
    }

    /// Why a consumer can't stay as it is.
    fn unfit(&self, consumer: Option<&consumer::Info>, coverage: &Coverage, last: u64) -> Option<Repair> {
        let Some(info) = consumer else { return Some(Repair::ConsumerGone) };
        let delivered = info.delivered.stream_sequence;
        if delivered.max(info.ack_floor.stream_sequence) > last {
            return Some(Repair::ConsumerAhead);
        }
        let differences = durable::differences(&info.config, self.source, self.settings);
        if is_other(durable::reading(&info.config), coverage.position.reading) {
            return Some(Repair::StreamRewritten);
        }
        if !differences.is_empty() {
            tracing::warn!(?differences, "the consumer is not as it was made");
            return Some(Repair::ConsumerAltered);
        }
        (delivered.saturating_add(REDELIVERED_MAX) < coverage.highest()).then_some(Repair::ConsumerRewound)
    }

    /// Reads the message whether the client can parse its headers or not: history has read it in the same way.
    async fn stands(&self, sequence: u64, mark: &Mark, last: u64) -> Result<Standing, Fault> {
        if sequence > last {
            return Ok(Standing::Another);
        }
        let Some(stored::Stored { message, .. }) = stored::get(self.client, &self.source.stream, sequence).await?
        else {
            return Ok(Standing::Gone);
        };
        let stored_ns = message.stored_at.timestamp_nanos_opt().unwrap_or_default();
        let is_same = stored_ns == mark.stored_ns && message.identity() == mark.id;
        Ok(if is_same { Standing::Same } else { Standing::Another })
    }

    /// A message that the stream still holds is younger than any inbox row that is purged.
    async fn is_effect_gone(&self, mark: &Mark) -> Result<bool, Fault> {
        let Some(event_id) = mark.event_id else { return Ok(false) };
        let recorded = inbox::recorded(self.pool, self.source, &[event_id]).await.map_err(|error| database(&error))?;
        Ok(recorded.is_empty())
    }
}

/// Whether this may be the word of a leader that was cut off from the others: not if there are no others, and not of a stream
/// that was made after the message was stored.
fn may_be_old(info: &stream::Info, mark: &Mark) -> bool {
    info.config.num_replicas > 1 && info.created.unix_timestamp_nanos() <= i128::from(mark.stored_ns)
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

async fn consumer_info(stream: &Stream, name: &str) -> Result<Option<consumer::Info>, Fault> {
    match stream.consumer_info(name).await {
        Ok(info) => Ok(Some(info)),
        Err(error) => match error.kind() {
            ConsumerInfoErrorKind::NotFound => Ok(None),
            ConsumerInfoErrorKind::JetStream(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => Ok(None),
            _ => Err(broker(&error)),
        },
    }
}

/// The stream, as it says to be now.
async fn find(client: &Client, name: &str) -> Result<Stream, Fault> {
    // A request would wait in the client's buffer until it times out; a flush waits for a connection, and no longer.
    if timeout(CONNECTION_PATIENCE, client.flush()).await.is_err() || client.connection_state() != State::Connected {
        return Err(Fault::BrokerUnreachable);
    }
    jetstream::new(client.clone()).get_stream(name).await.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Fault::StreamMissing
        }
        _ => broker(&error),
    })
}

async fn info(stream: &Stream) -> Result<stream::Info, Fault> {
    stream.get_info().await.map_err(|error| broker(&error))
}

fn broker(error: &dyn std::fmt::Display) -> Fault {
    tracing::debug!(%error, "asking for the stream failed");
    Fault::BrokerUnreachable
}

pub(super) fn database(error: &sqlx::Error) -> Fault {
    tracing::debug!(error = chain(error), "reading the position failed");
    if runtime::mysql::is_transient(error) { Fault::DatabaseUnavailable } else { Fault::DatabaseRefuses }
}
