//! The verbs of an inbox, for operators: a service flattens them into its own. Each opens the database, says what it found
//! and ends. Tables for people, `--json` for programs.

mod gap;
mod message;
mod show;
mod stream;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use runtime::operator::CommonConfig;

use crate::handler::Handler;
use crate::process::Inbox;
use crate::source::Source;

/// What an operator can do about an inbox.
#[derive(Debug, Subcommand)]
pub enum InboxVerb {
    /// List dead messages, and decide about them.
    #[command(subcommand)]
    Message(message::MessageVerb),
    /// List the events that wait for an earlier version of their aggregate, and let an aggregate go on without it.
    #[command(subcommand)]
    Gap(gap::GapVerb),
    /// Have a part of the stream read again.
    #[command(subcommand)]
    Stream(Box<stream::StreamVerb>),
    /// Find out whether an event has had its effect.
    #[command(subcommand)]
    Inbox(show::ShowVerb),
}

impl InboxVerb {
    /// What every one of them needs.
    pub fn common(&self) -> &CommonConfig {
        match self {
            Self::Message(verb) => verb.common(),
            Self::Gap(verb) => verb.common(),
            Self::Stream(verb) => verb.common(),
            Self::Inbox(verb) => verb.common(),
        }
    }

    /// Does what the verb says.
    ///
    /// # Errors
    /// If the database can't be read or written, or the stream can't be read.
    pub async fn run<H: Handler>(self, source: Source, handler: H) -> anyhow::Result<ExitCode> {
        let inbox = Inbox { pool: self.common().pool().await?, source: Arc::new(source), handler };
        match self {
            Self::Message(verb) => message::message(verb, &inbox).await,
            Self::Gap(verb) => gap::gap(verb, &inbox).await,
            Self::Stream(verb) => stream::stream(*verb, &inbox).await,
            Self::Inbox(verb) => show::show(verb, &inbox).await,
        }
    }
}
