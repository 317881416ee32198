//! Drains an outbox table to NATS JetStream, in order, with retries and dedup.

mod claim;
mod cli;
mod config;
mod event;
mod floor;
mod housekeeping;
mod lease;
mod limits;
mod line;
mod loss;
mod metrics;
mod pause;
mod pipeline;
mod preflight;
mod publisher;
mod put_off;
mod reason;
mod relay;
mod release;
mod replay;
mod retention;
mod sampler;
mod settlement;
mod settler;
mod store;
mod stream;
mod subject;
mod terms;
mod timeline;
mod wake;

use std::process::ExitCode;

use config::{Command, Config};
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
            Ok(()) => cli::run::run(config).await,
            Err(misconfigured) => Err(misconfigured.into()),
        },
        Command::Health(config) => health::health(&config).await,
        Command::Status(config) => cli::status::status(config).await,
        Command::List(config) => cli::list::list(config).await,
        Command::Show(config) => cli::show::show(config).await,
        Command::Requeue(config) => cli::requeue::requeue(config).await,
        Command::Discard(config) => cli::discard::discard(config).await,
        Command::Pause(config) => cli::pause::pause(config).await,
        Command::Resume(config) => cli::resume::resume(config).await,
        Command::Replay(config) => cli::replay::replay(config).await,
        Command::Purge(config) => cli::purge::purge(config).await,
        Command::ForgetStream(config) => cli::forget_stream::forget_stream(config).await,
        Command::Check(config) => cli::check::check(config).await,
    };
    runtime::config::exit(result)
}
