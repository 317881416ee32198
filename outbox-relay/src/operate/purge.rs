//! `outbox-relay event purge`: deletes published events now, as the active relay does by itself after `RETENTION`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use runtime::config::duration;
use serde::Serialize;

use crate::hold::retention::{Step, Walk, rest_after};
use crate::store::action::{self, Action, Verb};
use crate::store::outbox_view;
use runtime::operator::CommonConfig;
use runtime::operator::progress::Progress;

/// Settings of `purge`.
#[derive(Clone, Debug, clap::Args)]
pub struct PurgeConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// Delete what was published longer ago than this, as far as it is proven to be in the stream. What is deleted can't be
    /// replayed, nor healed if the stream is lost.
    #[arg(long, value_parser = duration)]
    pub older_than: Duration,

    /// Say how many would be deleted, and delete nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct Purged {
    events: u64,
    dry_run: bool,
}

/// Purges in bounded batches with rests between them.
///
/// # Errors
/// If the database refuses; what was deleted until then stays deleted, and another run goes on.
pub async fn purge(config: PurgeConfig) -> anyhow::Result<ExitCode> {
    let common = &config.common;
    let pool = common.pool().await?;
    let last = outbox_view::last_seq(&pool).await.context("reading the outbox")?;
    let progress = Progress::new("purging", last.0);
    let mut walk = Walk::new(config.older_than, config.dry_run);
    loop {
        let started = Instant::now();
        let step = walk.step(&pool).await.context("purging")?;
        if step == Step::End {
            break;
        }
        progress.at(walk.position().0);
        if step == Step::Old && !config.dry_run {
            tokio::time::sleep(rest_after(started.elapsed())).await;
        }
    }
    drop(progress);
    if !config.dry_run && walk.purged > 0 {
        let scope = format!("published more than {} ago", humantime::format_duration(config.older_than));
        let entry =
            Action { actor: &common.actor, verb: Verb::Purge, scope: &scope, reason: None, events: walk.purged };
        let mut tx = pool.begin().await.context("connecting to the database")?;
        action::record(&mut tx, &entry).await.context("recording the action")?;
        tx.commit().await.context("committing")?;
    }
    common.print(&Purged { events: walk.purged, dry_run: config.dry_run }, |answer| {
        let verb = if answer.dry_run { "would be deleted" } else { "deleted" };
        format!("{} published events {verb}\n", answer.events)
    })?;
    Ok(ExitCode::SUCCESS)
}
