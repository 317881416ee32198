//! `stream`: a part of the stream is read again. What had its effect has none again.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand};
use runtime::config::Secret;
use runtime::nats::{self, NatsAccess, NatsConfig};
use runtime::operator::CommonConfig;
use runtime::operator::decision::{DecisionConfig, Verdict};
use runtime::time::moment;
use serde::Serialize;

use crate::handler::Handler;
use crate::process::Inbox;
use crate::{consumer, position};

/// What to do with the stream.
#[derive(Debug, Subcommand)]
pub enum StreamVerb {
    /// Have a part of the stream read again; what had its effect has none again. Exits 2 if nothing was read yet.
    Reread(RereadConfig),
}

impl StreamVerb {
    /// What every one of them needs.
    pub fn common(&self) -> &CommonConfig {
        let Self::Reread(config) = self;
        &config.act.common
    }
}

/// Settings of `stream reread`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("start").required(true).args(["from_seq", "since"]))]
pub struct RereadConfig {
    /// The sequence in the stream to begin with.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub from_seq: Option<u64>,

    /// Begin with what the stream stored at this time or later: 2026-11-22T11:30:00Z, or how long ago, such as 90m. Needs NATS_URL.
    #[arg(long, value_parser = moment, requires = "nats_url")]
    pub since: Option<DateTime<Utc>>,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub act: DecisionConfig,

    /// nats://HOST:PORT
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Option<Secret>,

    /// See [`NatsAccess`].
    #[command(flatten)]
    pub nats_access: NatsAccess,
}

#[derive(Serialize)]
struct Decided {
    outcome: &'static str,
    from_sequence: Option<u64>,
}

/// Notes from where to read again; the service that runs does it.
///
/// # Errors
/// If the database can't be written, or the stream can't be read.
pub(super) async fn stream<H: Handler>(
    StreamVerb::Reread(config): StreamVerb,
    inbox: &Inbox<H>,
) -> anyhow::Result<ExitCode> {
    let source = &inbox.source;
    let from = match (config.from_seq, config.since, config.nats_url) {
        (Some(from), ..) => from,
        (None, Some(since), Some(nats_url)) => {
            let nats = NatsConfig { nats_url, nats_access: config.nats_access };
            let client = nats::connect("stream reread", &nats).await.context("NATS_URL is malformed")?;
            consumer::sequence_since(&client, &source.stream, since).await.context("finding the time in the stream")?
        }
        _ => anyhow::bail!("--since needs NATS_URL"),
    };
    let stepped = position::step_back(&inbox.pool, source, from, "operator", Some(config.act.by())).await;
    let answer = match stepped.context("writing the position")? {
        Some(from) => Decided { outcome: "noted", from_sequence: Some(from) },
        None => Decided { outcome: "refused", from_sequence: None },
    };
    config.act.common.print(&answer, |answer| match answer.from_sequence {
        Some(from) => format!("the stream is read again from sequence {from}\n"),
        None => "refused: nothing was read yet\n".to_owned(),
    })?;
    Ok(if answer.from_sequence.is_some() { Verdict::CarriedOut } else { Verdict::Refused }.status())
}
