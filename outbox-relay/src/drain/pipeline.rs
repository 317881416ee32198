//! One step of the relay: a batch is published while the next one is claimed and the last one is settled.
//!
//! Overlapping keeps three promises. Order: a batch that was claimed ahead is published only if every event before it is
//! in the stream, else it is forgotten and the table is read again. Lateness: a row may appear behind what was claimed
//! already, and a later event of its aggregate ahead; so after each claim ahead the claimed range is read again, and a row that
//! appeared there has everything settled and the table read from its beginning. Crashes: what is published but not
//! settled is at most two batches, which `attach` of the next relay finds in the stream.
//!
//! Each attach has a connection of its own to the broker, which ends with the pipeline: at the end of the tenure, and at any
//! outage. Nothing that a client had queued outlives them.

use std::collections::HashSet;
use std::time::Instant;

use runtime::telemetry::chain;
use schema::sequence::Seq;

use super::claim::{self, Aside, Claimed};
use super::drainer::{Drainer, TurnError};
use super::floor::Floor;
use super::line::Line;
use super::settler::Settled;
use crate::lease::Tenure;
use crate::limits::Over;
use crate::publish::{Outage, Report};
use crate::store::outbox::{self, Found, Limits};
use crate::store::outbox_earlier::{self, Earlier};

/// Bytes of the rows of one claim. Three claims are in memory at once, and what the drivers copy of them.
const CLAIM_BYTES_MAX: usize = 4 << 20;

/// What a step led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There may be more: claim again at once.
    More,
    /// What there was is done; more often follows soon.
    Worked,
    /// There was nothing to do.
    Idle,
}

/// What is under way between two steps. Something is published and not settled only if the next batch is claimed.
#[derive(Debug)]
pub struct Pipeline {
    /// Events to claim at once: one after an outage, as a probe.
    limit: u32,
    /// What a row of the last claim took, about: more rows than fit would cost the connection that reads them.
    row_bytes: usize,
    /// The way to the broker, once the stream was checked.
    line: Option<Line>,
    attached_at: Option<Instant>,
    /// Database connections that had been lost when the line was attached.
    doubts: u64,
    /// Largest payload that the broker takes. What waits for a limit is tried when it grows.
    payload_bytes_max: Option<u64>,
    floor: Floor,
    /// Whether something may stand in the way of later events; only this relay puts anything there.
    may_obstruct: bool,
    ahead: Option<Batch>,
    published: Option<Published>,
}

/// A claimed batch.
#[derive(Debug, Default)]
struct Batch {
    claimed: Claimed,
    seqs: HashSet<Seq>,
    row_bytes: usize,
    is_full: bool,
    /// Whether anything stood in the way of any event.
    is_obstructed: bool,
}

/// A batch that was published and is to be settled.
#[derive(Debug)]
struct Published {
    report: Report,
    over: Vec<Over>,
    aside: Aside,
}

impl Pipeline {
    /// Nothing is known yet, nothing under way.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            row_bytes: 0,
            line: None,
            attached_at: None,
            doubts: 0,
            payload_bytes_max: None,
            floor: Floor::default(),
            may_obstruct: true,
            ahead: None,
            published: None,
        }
    }

    /// After an outage: the stream is checked again, and one event probes.
    pub fn probing() -> Self {
        Self::new(1)
    }

    /// Whether the broker is connected, as far as it was.
    pub fn is_connected(&self) -> bool {
        self.line.as_ref().is_none_or(|line| line.publisher.is_connected())
    }

    /// The largest payload that the broker takes now, as far as it told.
    fn limit_now(&self) -> u64 {
        self.line.as_ref().map_or(u64::MAX, |line| line.publisher.payload_bytes_max())
    }

    /// Whole batches from now on; whether they were not.
    pub fn probe_succeeded(&mut self, limit: u32) -> bool {
        let was_probing = self.limit < limit;
        self.limit = limit;
        was_probing
    }
}

impl Drainer {
    /// Takes the pipeline one step further.
    ///
    /// # Errors
    /// Nothing is under way after one: what was published and not settled is for `attach` to find.
    pub async fn step(&self, tenure: &Tenure, pipeline: &mut Pipeline) -> Result<Turn, TurnError> {
        if self.pool.doubts() != pipeline.doubts {
            // The database may be another one, which knows less: what was decided by the old one is not written to it.
            (pipeline.ahead, pipeline.published) = (None, None);
            self.attach(tenure, pipeline).await?;
        }
        if self.judge.wants_limits_after(pipeline.attached_at) {
            // The server tells its limits to a new connection only.
            pipeline.ahead = None;
            self.settle_last(tenure, pipeline.published.take(), pipeline.attached_at).await?;
            self.attach(tenure, pipeline).await?;
        }
        match pipeline.line.as_mut() {
            None => self.attach(tenure, pipeline).await?,
            Some(line) if line.watcher.is_due(&line.watch) => {
                // What the stream lost has to come before what is claimed already.
                pipeline.ahead = None;
                self.settle_last(tenure, pipeline.published.take(), pipeline.attached_at).await?;
                line.watcher.check(tenure, &mut line.watch).await?;
            }
            Some(_) => {}
        }
        self.follow_limit(tenure, pipeline.limit_now(), &mut pipeline.payload_bytes_max).await?;
        let batch = match pipeline.ahead.take() {
            Some(batch) => batch,
            None => self.claim(pipeline, &HashSet::new()).await.map_err(TurnError::Claim)?,
        };
        // A relay that was frozen until now may have lost the lease meanwhile: what it claims is another's.
        if !tenure.is_valid() {
            return Err(TurnError::Over);
        }
        pipeline.may_obstruct = batch.is_obstructed;
        pipeline.row_bytes = batch.row_bytes;
        if batch.claimed.is_empty() {
            return Ok(Turn::Idle);
        }
        let Batch { claimed, mut seqs, is_full, .. } = batch;
        let leads_on = is_full && claimed.due.len() == seqs.len();
        self.metrics.claimed(claimed.due.len());
        let last = pipeline.published.take();
        seqs.extend(last.iter().flat_map(|last| last.report.outcomes.iter().map(|(event, _)| event.seq)));
        let publisher = pipeline.line.as_ref().map(|line| line.publisher.clone()).ok_or(TurnError::Over)?;
        let attached_at = pipeline.attached_at;
        let (report, settled, ahead) = tokio::join!(
            publisher.publish(claimed.due, tenure),
            self.settle_last(tenure, last, attached_at),
            self.claim_ahead(pipeline, leads_on.then_some(&seqs)),
        );
        settled?;
        self.settle_found(tenure, &report.found).await?;
        let outage = report.outage.clone();
        let goes_on = report.is_clean();
        let published = Published { report, over: claimed.over, aside: claimed.aside };
        if let Some(ahead) = ahead.filter(|_| goes_on) {
            pipeline.ahead = Some(ahead);
            pipeline.published = Some(published);
            return Ok(Turn::More);
        }
        let settled = self.settle(tenure, published, attached_at).await?;
        pipeline.may_obstruct |= settled.any_obstacle;
        match outage {
            Some(outage) => Err(outage.into()),
            None if is_full && settled.rows > 0 => Ok(Turn::More),
            None => Ok(Turn::Worked),
        }
    }

    /// Settles what was published last, at the end of a tenure.
    pub async fn finish(&self, tenure: &Tenure, pipeline: Pipeline) -> Result<(), TurnError> {
        self.settle_last(tenure, pipeline.published, pipeline.attached_at).await
    }

    /// Connects and checks the stream, after the lease was taken and after each outage: whether it is there, what it takes,
    /// what it lost, and which events it holds that nobody settled.
    ///
    /// A relay that died or was cut off between PubAck and settle leaves such events; settling them here makes the
    /// promise of one message independent of the dedup window:
    /// `a_crash_after_puback_stores_no_second_message_even_after_the_dedup_window`.
    async fn attach(&self, tenure: &Tenure, pipeline: &mut Pipeline) -> Result<(), TurnError> {
        pipeline.doubts = self.pool.doubts();
        // What the limits are is asked for from now on.
        let attached_at = Instant::now();
        let mut line = self.lines.connect().await?;
        if let Some(before) = pipeline.line.take() {
            // Connected again without an outage: what was seen of the stream stays seen.
            line.watch = before.watch;
        }
        line.stream.ensure().await.map_err(|error| Outage(chain(&error)))?;
        line.watcher.check(tenure, &mut line.watch).await?;
        let highest = outbox::highest_stream_seq(&self.pool).await.map_err(TurnError::Claim)?.unwrap_or_default();
        // Settles need not come in the order of the stream: within a batch they do not.
        let from = highest.minus(2 * u64::from(self.batch_size_max));
        self.account(tenure, &line.publisher, (from, pipeline.doubts)).await?;
        pipeline.line = Some(line);
        pipeline.attached_at = Some(attached_at);
        Ok(())
    }

    /// Claims what follows the events that are under way.
    async fn claim(&self, pipeline: &mut Pipeline, under_way: &HashSet<Seq>) -> sqlx::Result<Batch> {
        let limits = Limits {
            rows: pipeline.limit.min(claim::rows_that_fit(pipeline.row_bytes, CLAIM_BYTES_MAX)),
            bytes: CLAIM_BYTES_MAX,
            payload_bytes: pipeline.payload_bytes_max.unwrap_or(u64::MAX),
        };
        // Before the claim: what stood in the way may be let go on while it is read, and the claim not have it.
        let may_obstruct = pipeline.may_obstruct && outbox::any_obstacle(&self.pool).await?;
        let Found { rows, is_full, bytes } = match under_way.iter().max() {
            Some(last) => outbox::claim(&self.pool, *last, limits).await?,
            None => pipeline.floor.claim(&self.pool, limits).await?,
        };
        let is_obstructed = may_obstruct || pipeline.floor.is_set();
        let mut behind = HashSet::new();
        if is_obstructed && !rows.is_empty() {
            // Dead, held, waiting, or let go on after the claim: what is not under way stands in the way.
            let firsts = claim::oldest_of_each(&rows);
            let last = firsts.last().copied().unwrap_or_default();
            let earlier = outbox_earlier::earlier(&self.pool, &firsts, last).await?;
            let is_behind = |found: &&Earlier| found.latest.is_some_and(|latest| !under_way.contains(&latest));
            behind.extend(earlier.iter().filter(is_behind).map(|found| found.seq));
        }
        let seqs = rows.iter().map(|row| row.seq).collect();
        let row_bytes = bytes.checked_div(rows.len()).unwrap_or(pipeline.row_bytes);
        let claimed = Claimed::sort(rows, &behind, &self.rules, limits.payload_bytes);
        Ok(Batch { claimed, seqs, row_bytes, is_full, is_obstructed })
    }

    /// Claims what follows events that are being published; nothing if there is nothing, or if that is not safe. A
    /// fault is not reported: the next claim will meet it again.
    async fn claim_ahead(&self, pipeline: &mut Pipeline, under_way: Option<&HashSet<Seq>>) -> Option<Batch> {
        let under_way = under_way?;
        let last = *under_way.iter().max()?;
        let ahead = self.claim(pipeline, under_way).await.ok()?;
        // After the claim, not before: an earlier event that it could not see must not stay unseen.
        let limit = u32::try_from(under_way.len() + 1).ok()?;
        let before = outbox::pending_up_to(&self.pool, claim::last_gap(under_way, last), limit).await.ok()?;
        let is_late = before.iter().any(|seq| !under_way.contains(seq));
        (!ahead.claimed.is_empty() && ahead.claimed.over.is_empty() && !is_late).then_some(ahead)
    }

    async fn settle_last(
        &self,
        tenure: &Tenure,
        published: Option<Published>,
        asked_at: Option<Instant>,
    ) -> Result<(), TurnError> {
        if let Some(published) = published {
            self.settle(tenure, published, asked_at).await?;
        }
        Ok(())
    }

    async fn settle(
        &self,
        tenure: &Tenure,
        published: Published,
        asked_at: Option<Instant>,
    ) -> Result<Settled, TurnError> {
        let Published { mut report, mut over, mut aside } = published;
        over.extend(report.take_over_limit());
        self.set_aside(over, asked_at, &mut aside).await?;
        Ok(self.settler.settle(tenure, report, &aside).await?)
    }
}
