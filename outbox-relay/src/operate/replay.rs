//! `outbox-relay event replay`: publishes events again that were published before.
//!
//! Guarantees that all of what was asked for is published, or that the error says which run broke off, where, and by which
//! arguments it goes on. A range goes by `occurred_at` alone: each published row is compared, a window of keys at a time.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use runtime::exit::Refused;
use runtime::mysql::Pool;
use runtime::nats::{self, NatsConfig};
use schema::aggregate::AggregateId;
use schema::sequence::Seq;
use serde::Serialize;
use uuid::Uuid;

use super::chosen::each_once;
use super::list::aggregate;
use crate::config::header_text;
use crate::publish::replayer::Replayer;
use crate::store::action::{self, Action, Verb};
use crate::store::{outbox_replay, outbox_view};
use crate::subject;
use runtime::operator::CommonConfig;
use runtime::operator::progress::Progress;

/// Published events read at once.
const WINDOW: u64 = 10_000;
/// Events in memory at once.
const PAGE: usize = 100;

/// Settings of `replay`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["events", "aggregate", "since"]))]
pub struct ReplayConfig {
    #[command(flatten)]
    pub common: CommonConfig,
    #[command(flatten)]
    pub nats: NatsConfig,

    /// Ids of published events.
    pub events: Vec<Uuid>,

    /// All events of this aggregate, as TYPE/ID, such as invoice/4711; TYPE ends at the first slash.
    #[arg(long, value_parser = aggregate)]
    pub aggregate: Option<(String, AggregateId)>,

    /// Events with an occurred_at of this time or later: 2026-11-22T11:30:00Z, or how long ago, such as 90m. It is the writer's
    /// time: of an import that kept the times of its source, those.
    #[arg(long, value_parser = runtime::time::moment)]
    pub since: Option<DateTime<Utc>>,

    /// With --since: events with an occurred_at before this time; all, if not given.
    #[arg(long, requires = "since", value_parser = runtime::time::moment)]
    pub until: Option<DateTime<Utc>>,

    /// Publish to this subject instead of each event's own, for example for a consumer of its own.
    #[arg(long)]
    pub subject: Option<String>,

    /// `ce-source` of the events, as the relay has it.
    #[arg(long, env = "EVENT_SOURCE", value_parser = header_text)]
    pub event_source: String,

    /// Id of an earlier run that broke off: what it stored within the dedup window is not stored again.
    #[arg(long, value_parser = header_text)]
    pub run: Option<String>,

    /// With --run: only events after this seq, up to which the earlier run came.
    #[arg(long, requires = "run", default_value_t = Seq::ZERO)]
    pub after: Seq,

    /// Say how many events would be published, and publish none.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct Replayed {
    events: u64,
    run: String,
    dry_run: bool,
}

/// Replays page by page.
///
/// # Errors
/// If an event that was named is not published, the stream takes one not, or a server does not answer.
pub async fn replay(config: ReplayConfig) -> anyhow::Result<ExitCode> {
    if let Some(subject) = &config.subject {
        subject::check(subject).map_err(anyhow::Error::msg)?;
    }
    let pool = config.common.pool().await?;
    let chosen = chosen(&pool, &config).await?;
    let id = config.run.clone().unwrap_or_else(|| Uuid::now_v7().simple().to_string());
    let client = nats::connect("outbox-relay event replay", &config.nats).await?;
    let replayer = Replayer::new(client, config.event_source.clone(), config.subject.clone(), id);
    let mut run = Run { pool, replayer, config: &config, after: config.after, events: 0 };
    if let Err(error) = run.publish_all(chosen).await {
        return Err(error.context(run.again()));
    }
    let replayed = Replayed { events: run.events, run: run.replayer.run, dry_run: config.dry_run };
    config.common.print(&replayed, |answer| {
        let verb = if answer.dry_run { "would be published again" } else { "published again" };
        format!("{} events {verb}, run {}\n", answer.events, answer.run)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The keys of events that were named or are of one aggregate; none if a time range was given.
async fn chosen(pool: &Pool, config: &ReplayConfig) -> anyhow::Result<Option<Vec<Seq>>> {
    if let Some((aggregate_type, id)) = &config.aggregate {
        let seqs = outbox_replay::by_aggregate(pool, aggregate_type, *id).await;
        return Ok(Some(seqs.context("reading the outbox")?));
    }
    if config.events.is_empty() {
        return Ok(None);
    }
    let events = each_once(&config.events);
    let seqs = outbox_replay::by_ids(pool, &events).await.context("reading the outbox")?;
    let (found, named) = (seqs.len(), events.len());
    anyhow::ensure!(
        found == named,
        Refused(format!("only {found} of the {named} events are published; none was published again"))
    );
    Ok(Some(seqs))
}

/// A replay under way.
struct Run<'a> {
    pool: Pool,
    replayer: Replayer,
    config: &'a ReplayConfig,
    /// Up to this key the stream has what was asked for.
    after: Seq,
    /// How many it has.
    events: u64,
}

impl Run<'_> {
    /// With a record before the first event and one after the last: a run that breaks off leaves one that nothing ends.
    async fn publish_all(&mut self, chosen: Option<Vec<Seq>>) -> anyhow::Result<()> {
        let scope = scope(self.config, &self.replayer.run);
        self.record(&format!("begins {scope}")).await?;
        match (chosen, self.config.since) {
            (Some(seqs), _) => self.publish(&seqs).await?,
            (None, since) => self.publish_range(since.context("--since is missing")?).await?,
        }
        self.record(&scope).await
    }

    async fn publish_range(&mut self, since: DateTime<Utc>) -> anyhow::Result<()> {
        let end = outbox_view::last_seq(&self.pool).await.context("reading the outbox")?;
        let progress = Progress::new("replaying", end.0);
        while self.after < end {
            let window = outbox_replay::window_end(&self.pool, self.after, WINDOW).await;
            let last = window.context("reading the outbox")?.unwrap_or(end).min(end);
            let seqs = outbox_replay::by_time(&self.pool, (self.after, last), since, self.config.until).await;
            self.publish(&seqs.context("reading the outbox")?).await?;
            self.after = last;
            progress.at(last.0);
        }
        Ok(())
    }

    async fn publish(&mut self, seqs: &[Seq]) -> anyhow::Result<()> {
        let left = &seqs[seqs.partition_point(|seq| *seq <= self.after)..];
        for page in left.chunks(PAGE) {
            if !self.config.dry_run {
                let rows = outbox_replay::load(&self.pool, page).await.context("reading the outbox")?;
                self.replayer.publish(rows).await?;
            }
            self.events += page.len() as u64;
            self.after = page.last().copied().unwrap_or(self.after);
        }
        Ok(())
    }

    async fn record(&self, scope: &str) -> anyhow::Result<()> {
        if self.config.dry_run {
            return Ok(());
        }
        let actor = &self.config.common.actor;
        let entry = Action { actor, verb: Verb::Replay, scope, reason: None, events: self.events };
        let mut tx = self.pool.begin().await.context("connecting to the database")?;
        action::record(&mut tx, &entry).await.context("recording the action")?;
        tx.commit().await.context("committing")
    }

    /// What broke off, and how it goes on. A time is given as it was understood: "2h ago" is another one by then.
    fn again(&self) -> String {
        let config = self.config;
        let until = config.until.map(|until| format!(" --until {}", rfc3339(until))).unwrap_or_default();
        let which = match (&config.aggregate, config.since) {
            (Some((aggregate_type, id)), _) => format!("--aggregate {aggregate_type}/{id}"),
            (None, Some(since)) => format!("--since {}{until}", rfc3339(since)),
            _ => config.events.iter().map(Uuid::to_string).collect::<Vec<_>>().join(" "),
        };
        let subject = config.subject.as_ref().map(|subject| format!(" --subject {subject}")).unwrap_or_default();
        let (run, after, events) = (&self.replayer.run, self.after, self.events);
        format!(
            "run {run} broke off after {events} events; go on with: event replay {which}{subject} --run {run} --after {after}"
        )
    }
}

fn rfc3339(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What is replayed and to where, for the record.
fn scope(config: &ReplayConfig, run: &str) -> String {
    let which = match (&config.aggregate, &config.since) {
        (Some((aggregate_type, id)), _) => format!("{aggregate_type}/{id}"),
        (None, Some(since)) => {
            let until = config.until.map(|until| format!(" before {until}")).unwrap_or_default();
            format!("from {since} on{until}")
        }
        _ => config.events.iter().map(Uuid::to_string).collect::<Vec<_>>().join(" "),
    };
    let subject = config.subject.as_deref().unwrap_or("their own subjects");
    format!("run {run} to {subject}: {which}")
}
