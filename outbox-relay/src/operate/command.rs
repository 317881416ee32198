//! The command line: a noun, a verb, and its arguments. The doc comments are the text of `--help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use runtime::config::Validate;
use runtime::health::HealthConfig;

use super::check::CheckConfig;
use super::discard::DiscardConfig;
use super::forget_stream::ForgetStreamConfig;
use super::list::ListConfig;
use super::pause::PauseConfig;
use super::purge::PurgeConfig;
use super::replay::ReplayConfig;
use super::requeue::RequeueConfig;
use super::resume::ResumeConfig;
use super::show::ShowConfig;
use super::status::StatusConfig;
use super::{check, discard, forget_stream, list, pause, purge, replay, requeue, resume, show};
use crate::config::RunConfig;
use runtime::operator::CommonConfig;

/// Publishes the events of an outbox table to NATS JetStream: in order, with retries, each stored once.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Drain the outbox until SIGTERM. Several may run: one is active, the others stand by.
    Run(Box<RunConfig>),
    /// Ask the process that runs here whether it is ready: exits 4 if it is not, 1 if it does not answer.
    Health(HealthConfig),
    /// Show the backlog, the dead events, which relay is active and up to where the stream is proven. Exits 4 if a person
    /// should act: no relay is active, the broker takes no events or lost some, the stream's limits dropped some unread, or
    /// events are dead; 1 if the database does not answer.
    Status(StatusConfig),
    /// Find events, and decide about them.
    #[command(subcommand)]
    Event(EventVerb),
    /// Keep events for a subject from being published for a while.
    #[command(subcommand)]
    Subject(SubjectVerb),
    /// Check the stream and all else that the promises rest on, or change to another stream.
    #[command(subcommand)]
    Stream(StreamVerb),
}

/// What to do with events.
#[derive(Debug, Subcommand)]
pub enum EventVerb {
    /// List events, newest first.
    List(ListConfig),
    /// Show all of one event, and what it was if it was discarded.
    Show(ShowConfig),
    /// Publish dead events after all; what was held behind them follows.
    Requeue(RequeueConfig),
    /// Give dead or held events up for good; what was held behind them goes on.
    Discard(DiscardConfig),
    /// Publish events again that were published before, to their own subjects or to another.
    Replay(Box<ReplayConfig>),
    /// Delete published events now, as far as they are proven to be in the stream.
    Purge(PurgeConfig),
}

/// What to do with subjects.
#[derive(Debug, Subcommand)]
pub enum SubjectVerb {
    /// Show which subjects are paused, since when, by whom and why.
    List(CommonConfig),
    /// Keep events for a subject from being published.
    Pause(PauseConfig),
    /// Publish events for a paused subject again.
    Resume(ResumeConfig),
}

/// What to do with the stream.
#[derive(Debug, Subcommand)]
pub enum StreamVerb {
    /// Check whether database, stream, consumers and settings are what the promises rest on, and change nothing. It looks at
    /// the rights of the user in DATABASE_URL: give it the relay's, not the one for people. Exits 4 if a promise does not
    /// hold, with --strict also if there is a warning; 1 if the database or the broker does not answer.
    Check(Box<CheckConfig>),
    /// Let the outbox be published to another stream from now on; what that one lacks is published to it.
    Forget(ForgetStreamConfig),
}

impl EventVerb {
    /// Does it.
    ///
    /// # Errors
    /// What kept it from being done.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(config) => list::list(config).await,
            Self::Show(config) => show::show(config).await,
            Self::Requeue(config) => requeue::requeue(config).await,
            Self::Discard(config) => discard::discard(config).await,
            Self::Replay(config) => replay::replay(*config).await,
            Self::Purge(config) => purge::purge(config).await,
        }
    }
}

impl SubjectVerb {
    /// Does it.
    ///
    /// # Errors
    /// What kept it from being done.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(config) => pause::list(config).await,
            Self::Pause(config) => pause::pause(config).await,
            Self::Resume(config) => resume::resume(config).await,
        }
    }
}

impl StreamVerb {
    /// Does it.
    ///
    /// # Errors
    /// What kept it from being done.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(config) => check::check(*config).await,
            Self::Forget(config) => forget_stream::forget_stream(config).await,
        }
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        match &self.command {
            Command::Run(config) => config.validate(),
            Command::Health(_) => Ok(()),
            Command::Status(StatusConfig { common, .. })
            | Command::Event(
                EventVerb::List(ListConfig { common, .. })
                | EventVerb::Show(ShowConfig { common, .. })
                | EventVerb::Requeue(RequeueConfig { common, .. })
                | EventVerb::Discard(DiscardConfig { common, .. })
                | EventVerb::Purge(PurgeConfig { common, .. }),
            )
            | Command::Subject(
                SubjectVerb::List(common)
                | SubjectVerb::Pause(PauseConfig { common, .. })
                | SubjectVerb::Resume(ResumeConfig { common, .. }),
            )
            | Command::Stream(StreamVerb::Forget(ForgetStreamConfig { common, .. })) => common.validate(),
            Command::Event(EventVerb::Replay(replay)) => replay.common.validate().and_then(|()| replay.nats.validate()),
            Command::Stream(StreamVerb::Check(check)) => check.common.validate().and_then(|()| check.nats.validate()),
        }
    }
}
