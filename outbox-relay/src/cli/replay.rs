//! `outbox-relay replay`: publishes events again that were published before.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use runtime::nats::{self, NatsConfig};
use schema::names;
use serde::Serialize;
use uuid::Uuid;

use super::list::aggregate;
use super::operator::{ActConfig, each_once};
use super::progress::Progress;
use crate::replay::Replayer;
use crate::store::action::{self, Action, Verb};
use crate::store::outbox_replay;
use crate::{subject, timeline};

/// Keys looked through at once.
const WINDOW: u64 = 10_000;
/// Events in memory at once.
const PAGE: usize = 100;

/// Settings of `replay`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["events", "order", "aggregate", "since"]))]
pub struct ReplayConfig {
    #[command(flatten)]
    pub act: ActConfig,
    #[command(flatten)]
    pub nats: NatsConfig,

    /// Ids of published events.
    pub events: Vec<Uuid>,

    /// All events of this order.
    #[arg(long)]
    pub order: Option<Uuid>,

    /// All events of this aggregate, as TYPE/ID.
    #[arg(long, value_parser = aggregate)]
    pub aggregate: Option<(String, Uuid)>,

    /// Events that happened at this time or later: 2026-11-22T11:30:00Z, or how long ago, such as 90m.
    #[arg(long, value_parser = timeline::moment)]
    pub since: Option<DateTime<Utc>>,

    /// With --since: events that happened before this time; now, if not given.
    #[arg(long, requires = "since", value_parser = timeline::moment)]
    pub until: Option<DateTime<Utc>>,

    /// Publish to this subject instead of each event's own, for example for a consumer of its own.
    #[arg(long)]
    pub subject: Option<String>,

    /// `ce-source` of the events.
    #[arg(long, env = "EVENT_SOURCE", default_value = names::ORDERS_SOURCE)]
    pub event_source: String,

    /// Id of an earlier run that broke off: what it stored within the dedup window is not stored again.
    #[arg(long)]
    pub run: Option<String>,

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
/// If an event that was named is not published, the stream takes one not, or the database can't be read.
pub async fn replay(config: ReplayConfig) -> anyhow::Result<ExitCode> {
    if let Some(subject) = &config.subject {
        subject::check(subject).map_err(anyhow::Error::msg)?;
    }
    let pool = config.act.look.pool()?;
    let run = config.run.clone().unwrap_or_else(|| Uuid::now_v7().simple().to_string());
    let client = nats::connect("outbox-relay replay", &config.nats).await?;
    let replayer = Replayer::new(client, config.event_source.clone(), config.subject.clone(), run.clone());
    let chosen = chosen(&pool, &config).await?;
    let scope = scope(&config, &run);
    let actor = &config.act.actor;
    if !config.dry_run {
        record(&pool, actor, &format!("begins {scope}"), 0).await?;
    }
    let events = match chosen {
        Some(seqs) => publish(&pool, &replayer, &seqs, config.dry_run).await?,
        None => publish_range(&pool, &replayer, &config).await?,
    };
    if !config.dry_run {
        record(&pool, actor, &scope, events).await?;
    }
    config.act.look.print(&Replayed { events, run, dry_run: config.dry_run }, |answer| {
        let verb = if answer.dry_run { "would be published again" } else { "published again" };
        format!("{} events {verb}, run {}\n", answer.events, answer.run)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The keys of events that were named or are of one aggregate; none if a time range was given.
async fn chosen(pool: &Pool, config: &ReplayConfig) -> anyhow::Result<Option<Vec<u64>>> {
    let aggregate = config.order.map(|id| (names::ORDER.to_owned(), id)).or(config.aggregate.clone());
    if let Some((aggregate_type, id)) = aggregate {
        let seqs = outbox_replay::by_aggregate(pool, &aggregate_type, id).await;
        return Ok(Some(seqs.context("reading the outbox")?));
    }
    if config.events.is_empty() {
        return Ok(None);
    }
    let events = each_once(&config.events);
    let seqs = outbox_replay::by_ids(pool, &events).await.context("reading the outbox")?;
    let (found, named) = (seqs.len(), events.len());
    anyhow::ensure!(found == named, "only {found} of the {named} events are published; none was published again");
    Ok(Some(seqs))
}

async fn publish(pool: &Pool, replayer: &Replayer, seqs: &[u64], is_dry: bool) -> anyhow::Result<u64> {
    if !is_dry {
        for page in seqs.chunks(PAGE) {
            let rows = outbox_replay::load(pool, page).await.context("reading the outbox")?;
            let again = || format!("broke off; go on with the same events and --run {}", replayer.run);
            replayer.publish(rows).await.with_context(again)?;
        }
    }
    Ok(seqs.len() as u64)
}

async fn publish_range(pool: &Pool, replayer: &Replayer, config: &ReplayConfig) -> anyhow::Result<u64> {
    let since = config.since.context("--since")?;
    let until = config.until.unwrap_or_else(Utc::now);
    let (low, high) = timeline::seqs(pool, Some(since), Some(until)).await.context("reading the outbox")?;
    let mut progress = Progress::new("replaying", high.saturating_sub(low));
    let mut events = 0;
    let mut after = low.saturating_sub(1);
    while after < high {
        let last = high.min(after + WINDOW);
        let seqs = outbox_replay::by_time(pool, (after, last), (since, until)).await.context("reading the outbox")?;
        events += publish(pool, replayer, &seqs, config.dry_run).await?;
        after = last;
        progress.at(after - low.min(after));
    }
    Ok(events)
}

/// What is replayed and to where, for the record.
fn scope(config: &ReplayConfig, run: &str) -> String {
    let which = match (&config.order, &config.aggregate, &config.since) {
        (Some(order), _, _) => format!("order {order}"),
        (_, Some((aggregate_type, id)), _) => format!("{aggregate_type}/{id}"),
        (_, _, Some(since)) => format!("from {since} to {}", config.until.unwrap_or_else(Utc::now)),
        _ => config.events.iter().map(Uuid::to_string).collect::<Vec<_>>().join(" "),
    };
    let subject = config.subject.as_deref().unwrap_or("their own subjects");
    format!("run {run} to {subject}: {which}")
}

/// Before the first event and after the last: one that breaks off leaves a record that nothing ends.
async fn record(pool: &Pool, actor: &str, scope: &str, events: u64) -> anyhow::Result<()> {
    let deed = Action { actor, verb: Verb::Replay, scope, reason: None, events };
    let mut tx = pool.begin().await.context("connecting to the database")?;
    action::record(&mut tx, &deed).await.context("recording the action")?;
    tx.commit().await.context("committing")
}
