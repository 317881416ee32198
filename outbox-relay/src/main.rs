//! Drains an outbox table to NATS JetStream, in order, with retries and dedup.

mod config;
mod drain;
mod event;
mod heal;
mod hold;
mod lease;
mod limits;
mod metrics;
mod operate;
mod publish;
mod reason;
mod store;
mod stream;
mod subject;
mod terms;

use std::process::ExitCode;

use operate::command::{Command, Config};
use runtime::{health, telemetry};

/// On one thread: the relay waits for others most of the time, and a hand-over between threads costs an event more than
/// what is done for it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config: Config = match runtime::config::parse() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let result = match config.command {
        Command::Run(config) => match telemetry::init(config.process.log_format, &config.process.log_filter) {
            Ok(()) => operate::run::run(config).await,
            Err(misconfigured) => Err(misconfigured.into()),
        },
        Command::Health(config) => health::health(&config).await,
        Command::Status(config) => operate::status::status(config).await,
        Command::List(config) => operate::list::list(config).await,
        Command::Show(config) => operate::show::show(config).await,
        Command::Requeue(config) => operate::requeue::requeue(config).await,
        Command::Discard(config) => operate::discard::discard(config).await,
        Command::Pause(config) => operate::pause::pause(config).await,
        Command::Resume(config) => operate::resume::resume(config).await,
        Command::Replay(config) => operate::replay::replay(config).await,
        Command::Purge(config) => operate::purge::purge(config).await,
        Command::ForgetStream(config) => operate::forget_stream::forget_stream(config).await,
        Command::Check(config) => operate::check::check(config).await,
    };
    runtime::config::exit(result)
}
