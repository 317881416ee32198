//! The command line: every verb with its arguments. The doc comments are the text of `--help`.

use clap::{Parser, Subcommand};
use runtime::config::Validate;
use runtime::health::HealthConfig;

use super::check::CheckConfig;
use super::discard::DiscardConfig;
use super::forget_stream::ForgetStreamConfig;
use super::list::ListConfig;
use super::operator::ActConfig;
use super::pause::PauseConfig;
use super::purge::PurgeConfig;
use super::replay::ReplayConfig;
use super::requeue::RequeueConfig;
use super::resume::ResumeConfig;
use super::show::ShowConfig;
use crate::config::{RunConfig, StatusConfig};

/// Publishes the events of an outbox table to NATS JetStream: in order, with retries, each stored once.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Drain the outbox until SIGTERM. Several may run: one is active, the others stand by.
    Run(Box<RunConfig>),
    /// Ask the process that runs here whether it is ready: exits 0 or 1.
    Health(HealthConfig),
    /// Show the backlog, the dead events, which relay is active and up to where the stream is proven. Exits 4 if a person
    /// should act: no relay is active, the broker takes no events or lost some, or events are dead; 1 if the database does not
    /// answer.
    Status(StatusConfig),
    /// List events, newest first.
    List(ListConfig),
    /// Show all of one event, and what it was if it was discarded.
    Show(ShowConfig),
    /// Publish dead events after all; what was held behind them follows.
    Requeue(RequeueConfig),
    /// Give dead or held events up for good; what was held behind them goes on.
    Discard(DiscardConfig),
    /// Keep events for a subject from being published; without a subject, show what is paused.
    Pause(PauseConfig),
    /// Publish events for a paused subject again.
    Resume(ResumeConfig),
    /// Publish events again that were published before, to their own subjects or to another.
    Replay(ReplayConfig),
    /// Delete published events now, as far as they are proven to be in the stream.
    Purge(PurgeConfig),
    /// Let the outbox be published to another stream from now on; what that one lacks is published to it.
    ForgetStream(ForgetStreamConfig),
    /// Look whether database, stream, consumers and settings are what the promises rest on, and change nothing. Exits 4 if a
    /// promise does not hold, with --strict also if there is a warning; 1 if the database or the broker does not answer.
    Check(CheckConfig),
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        match &self.command {
            Command::Run(config) => config.validate(),
            Command::Health(_) => Ok(()),
            Command::Status(config) => config.database.validate(),
            Command::List(ListConfig { look, .. }) | Command::Show(ShowConfig { look, .. }) => look.database.validate(),
            Command::Requeue(RequeueConfig { act, .. })
            | Command::Discard(DiscardConfig { act, .. })
            | Command::Pause(PauseConfig { act, .. })
            | Command::Resume(ResumeConfig { act, .. })
            | Command::ForgetStream(ForgetStreamConfig { act, .. })
            | Command::Purge(PurgeConfig { act, .. }) => act.look.database.validate(),
            Command::Replay(ReplayConfig { act: ActConfig { look, .. }, nats, .. })
            | Command::Check(CheckConfig { look, nats, .. }) => look.database.validate().and_then(|()| nats.validate()),
        }
    }
}
