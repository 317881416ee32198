//! Drains an outbox table to NATS JetStream, in order, with retries and dedup.

mod config;
mod drain;
mod event;
mod heal;
mod heal_epoch;
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
        Command::Run(config) => {
            match telemetry::init(env!("CARGO_PKG_NAME"), config.process.log_format, &config.process.log_filter) {
                Ok(()) => operate::run::run(config).await,
                Err(misconfigured) => Err(misconfigured.into()),
            }
        }
        Command::Health(config) => health::health(&config).await,
        Command::Status(config) => operate::status::status(config).await,
        Command::Event(verb) => verb.run().await,
        Command::Subject(verb) => verb.run().await,
        Command::Stream(verb) => verb.run().await,
    };
    runtime::config::exit(result)
}
