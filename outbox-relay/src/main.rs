//! Drains an outbox table to NATS JetStream, in order, with retries and dedup.

mod claim;
mod cli;
mod config;
mod event;
mod lease;
mod metrics;
mod publisher;
mod relay;
mod sampler;
mod settlement;
mod settler;
mod store;
mod stream;
mod subject;
mod wake;

use std::process::ExitCode;

use config::{Command, Config};
use runtime::telemetry;

#[tokio::main]
async fn main() -> ExitCode {
    let config: Config = match runtime::config::parse() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let result = match config.command {
        Command::Run(config) => cli::run::run(config).await,
        Command::Status(config) => cli::status::status(config).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", telemetry::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}
