//! `outbox-relay stream forget`: the outbox is to be published to another stream, or to another broker's.
//!
//! The next relay takes the stream of its settings, and publishes to it whatever the outbox still has and that stream lacks.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use schema::names::OUTBOX_LEASE;
use serde::Serialize;

use crate::store::action::{self, Action, Verb};
use crate::store::{lease, relay_stream};
use runtime::exit::{NotFound, Refused};
use runtime::operator::CommonConfig;

/// Settings of `forget-stream`.
#[derive(Clone, Debug, clap::Args)]
pub struct ForgetStreamConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// Why, for the record.
    #[arg(long, value_parser = runtime::config::reason)]
    pub reason: String,
}

#[derive(Serialize)]
struct Forgotten {
    stream: Option<String>,
    created_at: Option<DateTime<Utc>>,
}

/// Forgets the stream.
///
/// # Errors
/// If a relay is active, which would remember it again; if there is nothing to forget; or if the database refuses.
pub async fn forget_stream(config: ForgetStreamConfig) -> anyhow::Result<ExitCode> {
    let common = &config.common;
    let pool = common.pool().await?;
    let lease = lease::read(&pool, OUTBOX_LEASE).await.context("reading relay_lease")?;
    anyhow::ensure!(
        lease.is_none_or(|lease| !lease.is_alive),
        Refused(
            "a relay is active and would remember its stream again: stop all relays first; nothing was changed"
                .to_owned()
        )
    );
    let known = relay_stream::read(&pool).await.context("reading relay_stream")?;
    anyhow::ensure!(known.created_at.is_some(), NotFound("no stream is remembered; nothing was changed".to_owned()));
    let scope = known.stream.as_deref().unwrap_or("a stream that no name was kept of");
    let entry =
        Action { actor: &common.actor, verb: Verb::ForgetStream, scope, reason: Some(&config.reason), events: 0 };
    let mut tx = pool.begin().await.context("connecting to the database")?;
    relay_stream::forget(&mut tx).await.context("writing relay_stream")?;
    action::record(&mut tx, &entry).await.context("recording the action")?;
    tx.commit().await.context("committing")?;
    common.print(&Forgotten { stream: known.stream, created_at: known.created_at }, |forgotten| {
        let stream = forgotten.stream.as_deref().unwrap_or("the stream");
        format!("{stream} is forgotten; the next relay publishes to its own stream what that one lacks\n")
    })?;
    Ok(ExitCode::SUCCESS)
}
