//! The operator's checklist: read the settings, start logging, do what the verb says.

use std::process::ExitCode;

use order_svc::config::{Config, Verb};
use order_svc::{migrate, payments, run};
use runtime::{health, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let config: Config = match runtime::config::parse() {
        Ok(config) => config,
        Err(status) => return status,
    };
    let done = match config.verb {
        Verb::Migrate(config) => migrate::migrate(&config).await.map(|()| ExitCode::SUCCESS),
        Verb::Health(config) => health::health(&config).await,
        Verb::Inbox(verb) => payments::verb(*verb).await,
        Verb::Run(config) => match telemetry::init(config.process.log_format, &config.process.log_filter) {
            Ok(()) => run::run(*config).await,
            Err(misconfigured) => Err(misconfigured.into()),
        },
    };
    runtime::config::exit(done)
}
